package reconciler

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// This file observes a target that is a Service, and the two copies of it: the primary's and the canary's. Each is labelled with the revision that it
// leads to, and so are its endpoints, so that it is seen when they have followed.

// gatherTargetService reads the target. Services are cached as such, for there are those of workloads too; what compares and stores revisions is given
// the same in the form in which it knows workloads.
func (r *Reconciler) gatherTargetService(ctx context.Context, w *world) error {
	s, err := find(ctx, r, client.ObjectKey{Namespace: w.canary.Namespace, Name: w.canary.Spec.TargetRef.Name}, &corev1.Service{})
	if err != nil || s == nil {
		return err
	}
	w.targetService = s
	if w.target, err = untyped(s); err != nil {
		return err
	}
	w.observed.Target = observeWorkload(w.kind, w.target)
	w.observed.Target.Current, w.observed.Target.Held = true, false
	w.reportObstacles()
	return r.describeTarget(w)
}

func untyped(s *corev1.Service) (*unstructured.Unstructured, error) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
	if err != nil {
		return nil, fmt.Errorf("read Service %s: %w", s.Name, err)
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetGroupVersionKind(services{}.kind())
	return u, nil
}

// gatherCopies observes the copies and the endpoints behind them, and behind the target.
func (r *Reconciler) gatherCopies(ctx context.Context, w *world) error {
	o := &w.observed.Services
	o.Ready = w.copyAsWanted(rolePrimary, w.primaryService) && w.copyAsWanted(roleCanary, w.canaryService)
	primary, err := r.listed(ctx, w.primaryService)
	if err != nil {
		return err
	}
	canary, err := r.listed(ctx, w.canaryService)
	if err != nil {
		return err
	}
	target, err := r.listed(ctx, w.targetService)
	if err != nil {
		return err
	}
	if w.primaryService != nil {
		w.observed.Primary = primaryOf(w.primaryService, primary)
	}
	o.PrimaryReady = int32(len(primary))
	o.PinnedHash = pinOf(w.canaryService)
	hash := w.observed.LivePodHash
	if ro := w.canary.Status.Rollout; ro != nil && ro.PodHash != "" {
		hash = ro.PodHash
	}
	o.CanaryReady, o.CanaryOther = split(canary, w.kind.pods("", hash))
	o.ApexReady, o.ApexOther = split(target, func(pod, _ string) bool { _, both := primary[pod]; return both })
	return nil
}

// byName stands for the endpoint of a Service that leads to a name of the DNS.
const byName = "external name"

// listed returns the ready endpoints of a Service, nil for none, by the name of the pod, each with the revision of the Service when it was listed. One that
// leads to a name is taken to be ready: there is nothing to observe.
func (r *Reconciler) listed(ctx context.Context, s *corev1.Service) (map[string]string, error) {
	switch {
	case s == nil:
		return nil, nil
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return map[string]string{byName + " " + s.Spec.ExternalName: pinOf(s)}, nil
	}
	return r.readyPods(ctx, s)
}

// pinOf is the revision that a copy leads to.
func pinOf(s *corev1.Service) string {
	if s == nil {
		return ""
	}
	return s.Labels[labelPinned]
}

// split counts endpoints.
func split(pods map[string]string, match func(pod, pinned string) bool) (in, other int32) {
	for pod, pinned := range pods {
		if match(pod, pinned) {
			in++
		} else {
			other++
		}
	}
	return in, other
}

// primaryOf is the primary's copy as a workload that wants one endpoint: updated when an endpoint was listed by its present revision, with an old one left
// while any was listed by another.
func primaryOf(s *corev1.Service, pods map[string]string) core.Workload {
	out := core.Workload{Exists: true, Current: true, Revision: pinOf(s), Replicas: 1}
	now, before := split(pods, services{}.pods("", out.Revision))
	out.Updated = min(1, now)
	out.Total, out.Available = out.Updated+min(1, before), out.Updated
	return out
}

// copyAsWanted tells whether a copy leads where the revision says that it is labelled with. Of one whose snapshot was deleted nothing better is known,
// and it is left as it is.
func (w *world) copyAsWanted(role role, have *corev1.Service) bool {
	if have == nil {
		return false
	}
	s := revision.ByDigest(w.snapshots, pinOf(have))
	if s == nil {
		return pinOf(have) != ""
	}
	want, err := w.copyFor(role, have, s)
	return err == nil && equality.Semantic.DeepEqual(want.Spec, have.Spec)
}
