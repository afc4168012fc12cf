package analysis_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// reader answers every Get the same way.
type reader struct {
	client.Reader
	get func(types.NamespacedName, client.Object) error
}

func (r reader) Get(_ context.Context, name client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	return r.get(name, into)
}

func TestSources(t *testing.T) {
	name := types.NamespacedName{Namespace: "test", Name: "prom"}
	templates := reader{get: func(n types.NamespacedName, into client.Object) error {
		into.(*v1beta1.MetricTemplate).Spec.Query = "query of " + n.String()
		return nil
	}}
	secrets := reader{get: func(n types.NamespacedName, into client.Object) error {
		if n.Name == "prom" {
			into.(*corev1.Secret).Data = map[string][]byte{"token": []byte("t")}
		}
		return nil
	}}
	s := analysis.NewSources(templates, secrets)
	if got, err := s.MetricTemplate(t.Context(), name); err != nil || got.Spec.Query != "query of test/prom" {
		t.Errorf("MetricTemplate = %+v, %v", got, err)
	}
	if got, err := s.SecretData(t.Context(), name); err != nil || string(got["token"]) != "t" {
		t.Errorf("SecretData = %v, %v", got, err)
	}
	// A Secret without content is not the same as no Secret.
	if got, err := s.SecretData(t.Context(), types.NamespacedName{Name: "empty"}); err != nil || got == nil {
		t.Errorf("SecretData of an empty Secret = %v, %v; want an empty map", got, err)
	}
}

func TestSourcesErrors(t *testing.T) {
	broken := errors.New("no connection")
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, "prom")
	for cause, want := range map[error]string{broken: "read %s test/prom", missing: "%s test/prom does not exist"} {
		r := reader{get: func(types.NamespacedName, client.Object) error { return cause }}
		s := analysis.NewSources(r, r)
		name := types.NamespacedName{Namespace: "test", Name: "prom"}
		_, templateErr := s.MetricTemplate(t.Context(), name)
		_, secretErr := s.SecretData(t.Context(), name)
		for kind, err := range map[string]error{"MetricTemplate": templateErr, "Secret": secretErr} {
			if !errors.Is(err, cause) || !strings.Contains(err.Error(), strings.ReplaceAll(want, "%s", kind)) {
				t.Errorf("%s: %v, want it to wrap %v and to mention %q", kind, err, cause, want)
			}
		}
	}
}
