package analysis

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Sources finds the objects that a check refers to. Errors name the object.
type Sources interface {
	MetricTemplate(ctx context.Context, name types.NamespacedName) (*v1beta1.MetricTemplate, error)
	// SecretData returns the content of a Secret. It is read when a check needs it and kept nowhere.
	SecretData(ctx context.Context, name types.NamespacedName) (map[string][]byte, error)
}

// AlertSources finds what an alert refers to. Errors name the object.
type AlertSources interface {
	AlertProvider(ctx context.Context, name types.NamespacedName) (*v1beta1.AlertProvider, error)
	SecretData(ctx context.Context, name types.NamespacedName) (map[string][]byte, error)
}

// NewAlertSources returns AlertSources that read through a live reader: alerts are rare, and a cache would be a watch for their sake.
func NewAlertSources(live client.Reader) AlertSources {
	return clusterSources{templates: live, secrets: live}
}

// clusterSources reads from the API server.
type clusterSources struct{ templates, secrets client.Reader }

// NewSources returns Sources that read templates through one reader and Secrets through another: templates are best read from a
// cache, while a cache of Secrets would hold all Secrets of the cluster in memory.
func NewSources(templates, secrets client.Reader) Sources {
	return clusterSources{templates: templates, secrets: secrets}
}

func (s clusterSources) MetricTemplate(ctx context.Context, name types.NamespacedName) (*v1beta1.MetricTemplate, error) {
	template := &v1beta1.MetricTemplate{}
	if err := s.templates.Get(ctx, name, template); err != nil {
		return nil, absent("MetricTemplate", name, err)
	}
	return template, nil
}

func (s clusterSources) AlertProvider(ctx context.Context, name types.NamespacedName) (*v1beta1.AlertProvider, error) {
	provider := &v1beta1.AlertProvider{}
	if err := s.templates.Get(ctx, name, provider); err != nil {
		return nil, absent("AlertProvider", name, err)
	}
	return provider, nil
}

func (s clusterSources) SecretData(ctx context.Context, name types.NamespacedName) (map[string][]byte, error) {
	secret := &corev1.Secret{}
	if err := s.secrets.Get(ctx, name, secret); err != nil {
		return nil, absent("Secret", name, err)
	}
	if secret.Data == nil {
		return map[string][]byte{}, nil
	}
	return secret.Data, nil
}

func absent(kind string, name types.NamespacedName, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %s does not exist: create it or correct the reference: %w", kind, name, err)
	}
	return fmt.Errorf("read %s %s: %w", kind, name, err)
}
