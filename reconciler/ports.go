package reconciler

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/analysis/alert"
	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Router reads and writes the object by which a Canary's traffic provider splits requests.
type Router interface {
	// Traffic tells what the Canary's provider can do; an unknown provider is an error that names those accepted.
	Traffic(*v1beta1.Canary) (core.Traffic, error)
	// Watches lists the kinds whose changes concern the route.
	Watches(*v1beta1.Canary) ([]schema.GroupVersionKind, error)
	// Read reports the route as it is. A kind that the cluster does not know is a Route with a Problem, not an error.
	Read(context.Context, *v1beta1.Canary) (core.Route, error)
	// Prepare writes what has to be there before the first pods of the primary.
	Prepare(context.Context, *v1beta1.Canary, core.PodLabel) error
	// Write brings the route to the intent and tells whether anything had to change. A route newer than the intent's version is a conflict.
	Write(context.Context, *v1beta1.Canary, core.RouteIntent) (bool, error)
	// GiveBack detaches the route from Sluice; it then leads to the apex Service.
	GiveBack(context.Context, *v1beta1.Canary) error
}

// Alerter tells people in the background.
type Alerter interface {
	// Alert sends a message to those of a Canary's alerts that want it, or where the controller sends those of Canaries without any. It never waits.
	Alert([]v1beta1.CanaryAlert, alert.Message)
}

// Checker asks metric providers and hooks in the background and keeps their answers.
type Checker interface {
	// Ask has a request answered; a key of the same Canary that was asked before is left as it is.
	Ask(check.Request)
	// Answer returns the result for a key of a Canary, once there is one.
	Answer(canary types.NamespacedName, key string) (check.Result, bool)
	// Forget drops the answers of a Canary whose keys have the prefix, and ends those still being asked; an empty prefix means all.
	Forget(canary types.NamespacedName, prefix string)
}
