package harness

import (
	"context"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// How many seconds the API server waits for a webhook: as it is shipped, and where a story needs an answer from a machine that is busy with others.
const (
	ShippedTimeout int32 = 2
	PatientTimeout int32 = 10
)

// SetWebhookTimeout has the API server wait for so many seconds, 1 to 30, for each of Sluice's webhooks. It learns of that a moment later.
func (h *Harness) SetWebhookTimeout(ctx context.Context, seconds int32) error {
	name := types.NamespacedName{Name: configuration}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		var mutating admissionregv1.MutatingWebhookConfiguration
		if err := h.Client.Get(ctx, name, &mutating); err != nil {
			return err
		}
		for i := range mutating.Webhooks {
			mutating.Webhooks[i].TimeoutSeconds = &seconds
		}
		if err := h.Client.Update(ctx, &mutating); err != nil {
			return err
		}
		var validating admissionregv1.ValidatingWebhookConfiguration
		if err := h.Client.Get(ctx, name, &validating); err != nil {
			return err
		}
		for i := range validating.Webhooks {
			validating.Webhooks[i].TimeoutSeconds = &seconds
		}
		return h.Client.Update(ctx, &validating)
	})
}
