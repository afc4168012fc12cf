//go:build integration

package ways

import (
	"context"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// seen is one thing that users could see: pods of a look behind the canary Service while its route was open, or behind the primary's.
type seen struct {
	// look is what the pods run; revision is the one that the Canary said was analysed, empty for the primary.
	look, revision string
	primary        bool
}

// begun is a rollout that was begun.
type begun struct{ id, revision string }

// audience sees what users of each namespace can see, and which rollouts are begun there.
type audience struct {
	mu       sync.Mutex
	sights   map[string][]seen
	rollouts map[string][]begun
	// promoted are the revisions that the primary was given, in order.
	promoted map[string][]string
}

func newAudience() audience {
	return audience{sights: map[string][]seen{}, rollouts: map[string][]begun{}, promoted: map[string][]string{}}
}

// note records the rollouts of a Canary, and what is promoted.
func (a *audience) note(c *v1beta1.Canary) {
	a.mu.Lock()
	defer a.mu.Unlock()
	promoted := c.Status.PromotedRevision
	if ro := c.Status.Rollout; ro != nil {
		// Until it has settled nobody else has heard of it.
		if b := (begun{ro.ID, ro.Revision}); ro.Stage != v1beta1.StageSettling && !slices.Contains(a.rollouts[c.Namespace], b) {
			a.rollouts[c.Namespace] = append(a.rollouts[c.Namespace], b)
		}
		if ro.Stage == v1beta1.StagePromoting {
			promoted = ro.Revision
		}
	}
	if promoted != "" && !slices.Contains(a.promoted[c.Namespace], promoted) {
		a.promoted[c.Namespace] = append(a.promoted[c.Namespace], promoted)
	}
}

// look goes through an application's slices, then its route, then its status, each as the API server has it. In this order what is seen behind
// an open route belongs to the revision that the status names, or was never analysed: status says what is intended before it is done.
func (a *audience) look(ctx context.Context, event any) {
	namespace := event.(client.Object).GetNamespace()
	for service, primary := range map[string]bool{"web-canary": false, "web-primary": true} {
		looks := looksBehind(ctx, namespace, service)
		if len(looks) == 0 {
			continue
		}
		var route gatewayv1.HTTPRoute
		if err := world.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "web"}, &route); err != nil || share(&route, service) == 0 {
			continue
		}
		var c v1beta1.Canary
		if world.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "web"}, &c) != nil {
			continue
		}
		revision := ""
		if ro := c.Status.Rollout; ro != nil && !primary {
			revision = ro.Revision
		}
		a.mu.Lock()
		for _, l := range looks {
			if s := (seen{l, revision, primary}); !slices.Contains(a.sights[namespace], s) {
				a.sights[namespace] = append(a.sights[namespace], s)
			}
		}
		a.mu.Unlock()
	}
}

// looksBehind lists what the ready pods behind a Service run.
func looksBehind(ctx context.Context, namespace, service string) []string {
	var slices discoveryv1.EndpointSliceList
	if world.admin.List(ctx, &slices, client.InNamespace(namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service}) != nil {
		return nil
	}
	var looks []string
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready || e.TargetRef == nil {
				continue
			}
			var pod corev1.Pod
			if world.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: e.TargetRef.Name}, &pod) == nil {
				looks = append(looks, lookOf(pod.Annotations, &pod.Spec))
			}
		}
	}
	return looks
}

// lookOf is what tells the versions of these tests apart: image, environment and restarts.
func lookOf(annotations map[string]string, spec *corev1.PodSpec) string {
	parts := []string{spec.Containers[0].Image}
	for _, e := range spec.Containers[0].Env {
		parts = append(parts, e.Name+"="+e.Value)
	}
	if at := annotations["kubectl.kubernetes.io/restartedAt"]; at != "" {
		parts = append(parts, "restarted")
	}
	return strings.Join(parts, " ")
}

// share is the weight of a Service in the first rule that names it.
func share(route *gatewayv1.HTTPRoute, service string) int32 {
	for _, rule := range route.Spec.Rules {
		for _, backend := range rule.BackendRefs {
			if string(backend.Name) == service {
				if backend.Weight == nil {
					return 1
				}
				return *backend.Weight
			}
		}
	}
	return 0
}

// of returns what was noted about a namespace.
func (a *audience) of(namespace string) (sights []seen, rollouts []begun, promoted []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sights[namespace]), slices.Clone(a.rollouts[namespace]), slices.Clone(a.promoted[namespace])
}
