package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"
)

// startupTimeout bounds the requests that are made before anything runs.
const startupTimeout = 30 * time.Second

// whoAmI asks the API server for the name that it knows this process by. Admission must know its own requests, and a name worked out from the
// environment could be wrong without anybody noticing.
func whoAmI(ctx context.Context, cfg *rest.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startupTimeout)
	defer cancel()
	api, err := v1.NewForConfig(cfg)
	if err != nil {
		return "", fmt.Errorf("preparing to ask for the own user name: %w", err)
	}
	review, err := api.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking the API server for the own user name: %w", err)
	}
	if review.Status.UserInfo.Username == "" {
		return "", errors.New("the API server does not say which user this is: its authentication has to be on")
	}
	return review.Status.UserInfo.Username, nil
}
