package webhook

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Verification is what the validating phase, which sees the object as it is going to be stored, finds about a target or a config.
type Verification struct {
	// Denials refuse the request. Only a guarded object is ever refused.
	Denials []string
	// Unheld tells that the change is about to land without what the mutating phase does for it, though users may be on the canary: the routes of the
	// Canaries in Fence are fenced, and the controller catches up.
	Unheld bool
	Fence  []*v1beta1.Canary
	// Snapshot lists the Canaries of whose targets the revision before the change must be stored.
	Snapshot []*v1beta1.Canary
	// Warnings are lines for the person who asks, most important first; those about Fence come first, one for each.
	Warnings []string
}

// guarded tells that an object may only change while its change is held. Taking the label off together with the change does not help.
func guarded(objects ...*unstructured.Unstructured) bool {
	for _, o := range objects {
		if o != nil && o.GetLabels()[v1beta1.LabelGuarded] == "true" {
			return true
		}
	}
	return false
}

func unheldWarning(c *v1beta1.Canary) string {
	return fmt.Sprintf(warningPrefix+"this change could not be held, another admission webhook may have removed what holds it; "+
		"users are taken off the canary of %s, and the controller catches up", c.Name)
}
