package reconciler

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// gatherServices observes the three Services and the ready endpoints behind them.
func (r *Reconciler) gatherServices(ctx context.Context, w *world) error {
	apex, primary, canary := w.canary.ServiceNames()
	for _, s := range []struct {
		name string
		into **corev1.Service
	}{{apex, &w.apex}, {primary, &w.primaryService}, {canary, &w.canaryService}} {
		var err error
		if *s.into, err = find(ctx, r, client.ObjectKey{Namespace: w.canary.Namespace, Name: s.name}, &corev1.Service{}); err != nil {
			return err
		}
	}
	if w.canary.TargetsService() {
		// The apex Service is the target, which is no Service of the Canary's.
		w.apex = nil
		w.checkServiceOwners()
		return r.gatherCopies(ctx, w)
	}
	w.checkServiceOwners()
	o := &w.observed.Services
	o.Apex = side(w.apex, w.label)
	if w.canaryService != nil {
		o.PinnedHash = w.canaryService.Spec.Selector[w.kind.hashLabel()]
	}
	o.Ready = w.servicesReady()
	return r.countEndpoints(ctx, w)
}

// checkServiceOwners reports Services that carry a name which the Canary generates but belong to others. The apex Service may be the user's
// own, which is taken over; but not another Canary's.
func (w *world) checkServiceOwners() {
	for _, s := range []*corev1.Service{w.primaryService, w.canaryService} {
		if s == nil || s == w.primaryService && w.inherited != nil && w.targetService != nil {
			continue
		}
		if by, ok := foreign(s, w.canary); ok {
			w.problem(true, "ServiceConflict", "Service %s exists but belongs to %s; rename or delete it, or choose another spec.service.name", s.Name, by)
		}
	}
	if w.apex == nil {
		return
	}
	for _, o := range w.apex.OwnerReferences {
		if isCanary(o) && o.Name != w.canary.Name {
			w.problem(true, "ServiceConflict", "Service %s belongs to the Canary %s; choose another spec.service.name", w.apex.Name, o.Name)
		}
	}
}

// side tells whose pods a Service selects.
func side(s *corev1.Service, label revision.SelectorLabel) core.Side {
	switch {
	case s == nil || label.Key == "":
		return core.SideUnknown
	case s.Spec.Selector[label.Key] == label.Primary().Value:
		return core.SidePrimary
	case s.Spec.Selector[label.Key] == label.Value:
		return core.SideTarget
	}
	return core.SideUnknown
}

// servicesReady tells whether the primary and the canary Service are as the Canary asks, pin aside.
func (w *world) servicesReady() bool {
	if w.primaryService == nil || w.canaryService == nil || w.label.Key == "" {
		return false
	}
	for _, s := range []struct {
		role     role
		existing *corev1.Service
	}{{rolePrimary, w.primaryService}, {roleCanary, w.canaryService}} {
		want := w.serviceFor(s.role, s.existing, w.selectorFor(s.role, "", w.observed.Services.PinnedHash))
		if !equality.Semantic.DeepEqual(want.Spec, s.existing.Spec) {
			return false
		}
	}
	return true
}

// countEndpoints counts the ready pods behind each Service by the workload and revision that they belong to.
func (r *Reconciler) countEndpoints(ctx context.Context, w *world) error {
	o := &w.observed.Services
	primary := w.kind.pods(w.canary.PrimaryName(), "")
	hash := w.observed.LivePodHash
	if ro := w.canary.Status.Rollout; ro != nil && ro.PodHash != "" {
		hash = ro.PodHash
	}
	canary := func(string, string) bool { return false }
	if hash != "" {
		canary = w.kind.pods(w.canary.Spec.TargetRef.Name, hash)
	}
	for _, s := range []struct {
		service   *corev1.Service
		match     func(pod, pinned string) bool
		in, other *int32
	}{
		{w.primaryService, primary, &o.PrimaryReady, new(int32)},
		{w.apex, primary, &o.ApexReady, &o.ApexOther},
		{w.canaryService, canary, &o.CanaryReady, &o.CanaryOther},
	} {
		if s.service == nil {
			continue
		}
		pods, err := r.readyPods(ctx, s.service)
		if err != nil {
			return err
		}
		*s.in, *s.other = split(pods, s.match)
	}
	return nil
}

// readyPods returns the pods that are ready behind a Service, by name, each with the hash that the Service was pinned to when they were listed.
// With two address families a pod has two endpoints.
func (r *Reconciler) readyPods(ctx context.Context, s *corev1.Service) (map[string]string, error) {
	slices := &discoveryv1.EndpointSliceList{}
	err := r.Client.List(ctx, slices, client.InNamespace(s.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: s.Name})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of Service %s: %w", s.Name, err)
	}
	pods := map[string]string{}
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			switch {
			case e.TargetRef != nil:
				pinned := slice.Labels[labelPinned]
				if other, listed := pods[e.TargetRef.Name]; listed && other != pinned {
					// One of the two slices is behind.
					pinned = ""
				}
				pods[e.TargetRef.Name] = pinned
			case len(e.Addresses) > 0:
				// An endpoint that is no pod belongs to neither workload.
				pods["address "+e.Addresses[0]] = ""
			}
		}
	}
	return pods, nil
}
