//go:build integration

package ways

import (
	"context"
	"maps"
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
	look
	// revision is the one that the Canary said was analysed, empty for the primary.
	revision string
	primary  bool
}

// look is what pods run, and what they read from configs.
type look struct{ runs, reads string }

// begun is a rollout that was begun.
type begun struct{ id, revision string }

// audience sees what users of each namespace can see, and which rollouts are begun there.
type audience struct {
	mu       sync.Mutex
	sights   map[string][]seen
	rollouts map[string][]begun
	// promoted are the revisions that the primary was given, in order.
	promoted map[string][]string
	// noted is the resource version of the Canary that was noted last.
	noted map[string]string
}

func newAudience() audience {
	return audience{sights: map[string][]seen{}, rollouts: map[string][]begun{}, promoted: map[string][]string{}, noted: map[string]string{}}
}

// note records the rollouts of a Canary, and what is promoted.
func (a *audience) note(c *v1beta1.Canary) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noted[c.Namespace] = c.ResourceVersion
	promoted := c.Status.PromotedRevision
	if ro := c.Status.Rollout; ro != nil {
		// Until it has settled nobody else has heard of it, and what is taken back by then was none.
		unheard := ro.Stage == v1beta1.StageSettling || ro.Stage == v1beta1.StageRollingBack
		if b := (begun{ro.ID, ro.Revision}); !unheard && !slices.Contains(a.rollouts[c.Namespace], b) {
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
func (a *audience) look(ctx context.Context, event client.Object) {
	if event.GetLabels()[v1beta1.LabelTracked] == v1beta1.TrackedCopy {
		// It never changes.
		return
	}
	namespace := event.GetNamespace()
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

// looksBehind lists what the ready pods behind a Service show, as if a pod could read each change of its configs at once.
func looksBehind(ctx context.Context, namespace, service string) []look {
	var behind discoveryv1.EndpointSliceList
	if world.admin.List(ctx, &behind, client.InNamespace(namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service}) != nil {
		return nil
	}
	var looks []look
	asked := map[string]bool{}
	for _, slice := range behind.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready || e.TargetRef == nil {
				continue
			}
			// Pods of one ReplicaSet are alike.
			set := e.TargetRef.Name[:strings.LastIndexByte(e.TargetRef.Name, '-')]
			if asked[set] {
				continue
			}
			asked[set] = true
			var pod corev1.Pod
			if world.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: e.TargetRef.Name}, &pod) == nil {
				looks = append(looks, look{lookOf(pod.Annotations, &pod.Spec), reads(ctx, namespace, pod.Spec.Containers[0].EnvFrom)})
			}
		}
	}
	return looks
}

// reads is what configs hold, those aside that are left out of revisions.
func reads(ctx context.Context, namespace string, from []corev1.EnvFromSource) string {
	var values []string
	for _, source := range from {
		if ref := source.ConfigMapRef; ref != nil {
			var c corev1.ConfigMap
			if world.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, &c) == nil && c.Annotations[v1beta1.AnnotationConfigTracking] == "" {
				values = append(values, slices.Sorted(maps.Values(c.Data))...)
			}
			continue
		}
		var c corev1.Secret
		if world.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: source.SecretRef.Name}, &c) == nil && c.Annotations[v1beta1.AnnotationConfigTracking] == "" {
			for _, value := range c.Data {
				values = append(values, string(value))
			}
		}
	}
	return strings.Join(values, " ")
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

// upTo tells whether the Canary of a namespace was noted as it is.
func (a *audience) upTo(c *v1beta1.Canary) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.noted[c.Namespace] == c.ResourceVersion
}

// of returns what was noted about a namespace.
func (a *audience) of(namespace string) (sights []seen, rollouts []begun, promoted []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sights[namespace]), slices.Clone(a.rollouts[namespace]), slices.Clone(a.promoted[namespace])
}
