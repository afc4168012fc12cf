package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// Ambient are the identities that the controller has in a cloud by where it runs. They are looked for when they are first needed and kept, since each is
// good for many questions. It is safe for concurrent use.
type Ambient struct {
	mu     sync.Mutex
	aws    aws.CredentialsProvider
	google oauth2.TokenSource
}

// amazon returns credentials by the default chain of AWS: environment, web identity of the service account, container, instance.
func (a *Ambient) amazon(ctx context.Context) (aws.Credentials, error) {
	if a == nil {
		return aws.Credentials{}, errors.New("no identity in AWS is at hand")
	}
	a.mu.Lock()
	if a.aws == nil {
		// The region serves to find the token service only where the environment names none.
		loaded, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion("us-east-1"))
		if err != nil {
			a.mu.Unlock()
			return aws.Credentials{}, fmt.Errorf("find the controller's AWS credentials: %w", err)
		}
		a.aws = loaded.Credentials
	}
	chain := a.aws
	a.mu.Unlock()
	credentials, err := chain.Retrieve(ctx)
	if err != nil {
		return credentials, fmt.Errorf("find the controller's AWS credentials, for example of its service account's role: %w", err)
	}
	return credentials, nil
}

// googleToken returns a token by Google's application default credentials: a file that the environment names, or the metadata server.
func (a *Ambient) googleToken(ctx context.Context, scope string) (*oauth2.Token, error) {
	if a == nil {
		return nil, errors.New("no identity in Google Cloud is at hand")
	}
	a.mu.Lock()
	if a.google == nil {
		// Later tokens are fetched with this context too, so it must not end.
		found, err := google.FindDefaultCredentials(context.WithoutCancel(ctx), scope)
		if err != nil {
			a.mu.Unlock()
			return nil, fmt.Errorf("find the controller's Google credentials; name a serviceAccountKey in the Secret: %w", err)
		}
		a.google = found.TokenSource
	}
	source := a.google
	a.mu.Unlock()
	return source.Token()
}
