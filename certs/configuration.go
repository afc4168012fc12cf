package certs

import (
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// configuration is a webhook configuration of either kind.
type configuration struct {
	kind   string
	object client.Object
	// clients returns the client settings of the object's webhooks; the pointers lead into the object.
	clients func(client.Object) []*admissionv1.WebhookClientConfig
}

func validatingConfiguration(name string) configuration {
	return configuration{
		kind:   "ValidatingWebhookConfiguration",
		object: &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}},
		clients: func(object client.Object) []*admissionv1.WebhookClientConfig {
			var out []*admissionv1.WebhookClientConfig
			hooks := object.(*admissionv1.ValidatingWebhookConfiguration).Webhooks
			for i := range hooks {
				out = append(out, &hooks[i].ClientConfig)
			}
			return out
		},
	}
}

func mutatingConfiguration(name string) configuration {
	return configuration{
		kind:   "MutatingWebhookConfiguration",
		object: &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}},
		clients: func(object client.Object) []*admissionv1.WebhookClientConfig {
			var out []*admissionv1.WebhookClientConfig
			hooks := object.(*admissionv1.MutatingWebhookConfiguration).Webhooks
			for i := range hooks {
				out = append(out, &hooks[i].ClientConfig)
			}
			return out
		},
	}
}

// String names the configuration in messages.
func (c configuration) String() string {
	return fmt.Sprintf("%s %q", c.kind, c.object.GetName())
}

// copy returns a configuration whose object may be changed freely.
func (c configuration) copy() configuration {
	c.object = c.object.DeepCopyObject().(client.Object)
	return c
}

// publication returns the bundles in place. A moment that does not parse counts as not recorded.
func (c configuration) publication() publication {
	var pub publication
	for _, settings := range c.clients(c.object) {
		pub.bundles = append(pub.bundles, settings.CABundle)
	}
	if since, err := time.Parse(time.RFC3339, c.object.GetAnnotations()[SinceAnnotation]); err == nil {
		pub.since = since
	}
	return pub
}

// carry puts the plan into the object.
func (c configuration) carry(plan bundlePlan) {
	annotations := c.object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[SinceAnnotation] = plan.since.Format(time.RFC3339)
	c.object.SetAnnotations(annotations)
	for _, settings := range c.clients(c.object) {
		settings.CABundle = plan.bundle
	}
}
