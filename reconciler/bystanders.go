package reconciler

import (
	"context"
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// pointOutBystanders tells, once a Canary is initialised, which objects go on minding pods that serve nobody any more. Admission has warned of those that
// were there by then. They are nothing that a rollout depends on, so they are not watched.
func (r *Reconciler) pointOutBystanders(ctx context.Context, w *world, plan core.Plan) error {
	if w.live == nil || w.canary.TargetsService() || plan.Status.Phase != v1beta1.PhaseInitialized || !hasEvent(plan, "Initialized") {
		return nil
	}
	found, err := findBystanders(ctx, r.Live, w.canary.Namespace)
	if err != nil {
		return err
	}
	names, err := found.OnlyTarget(*w.live, r.SelectorLabels)
	if err != nil || len(names) == 0 {
		return err
	}
	r.note(ctx, w, "Warning", "SelectsTargetOnly", fmt.Sprintf(
		"%s: these select the pods of %s only, and users are served by those of %s; select %s in (%s, %s) there",
		strings.Join(names, ", "), w.canary.Spec.TargetRef.Name, w.canary.PrimaryName(), w.label.Key, w.label.Value, w.label.Primary().Value))
	return nil
}

func hasEvent(plan core.Plan, reason string) bool {
	for _, e := range plan.Events {
		if e.Reason == reason {
			return true
		}
	}
	return false
}

// findBystanders lists what in a namespace selects pods by their labels, as far as it may be read. The API server may answer from its cache without
// waiting for the newest state: admission has looked a moment before, and a namespace with many Canaries asks as many times.
func findBystanders(ctx context.Context, reader client.Reader, namespace string) (revision.Bystanders, error) {
	var budgets policyv1.PodDisruptionBudgetList
	var policies networkingv1.NetworkPolicyList
	cached := &client.ListOptions{Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: "0"}}
	for _, list := range []client.ObjectList{&budgets, &policies} {
		if err := reader.List(ctx, list, cached); err != nil && !apierrors.IsForbidden(err) {
			return revision.Bystanders{}, fmt.Errorf("list what selects pods in namespace %s: %w", namespace, err)
		}
	}
	return revision.Bystanders{Budgets: budgets.Items, Policies: policies.Items}, nil
}
