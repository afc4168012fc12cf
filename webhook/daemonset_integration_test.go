//go:build integration

package webhook

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// agents is a small DaemonSet on nodes with a disk.
func agents(ns, image string) *appsv1.DaemonSet {
	app := map[string]string{"app": "agent"}
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "agent"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: app},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: new(intstr.FromString("30%"))},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: app},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{"disk": "ssd"},
					Containers:   []corev1.Container{{Name: "app", Image: image}},
				},
			},
		},
	}
}

func agentCanary(ns string) *v1beta1.Canary {
	c := canary(ns, "agent")
	c.Spec.TargetRef.Kind = "DaemonSet"
	return c
}

// trackedAgents creates a DaemonSet and its Canary, idle or with users on the canary.
func trackedAgents(t *testing.T, ns string, holds bool) *appsv1.DaemonSet {
	t.Helper()
	d := agents(ns, "agent:1")
	must(t, world.admin.Create(t.Context(), d))
	c := agentCanary(ns)
	must(t, world.admin.Create(t.Context(), c))
	setStatus(t, c, holds)
	if !holds {
		must(t, world.sluice.Patch(t.Context(), d, mergePatch(`{"spec":{"template":{"spec":{"nodeSelector":{%q:"true"}}}}}`, revision.ScaleToZeroKey)))
	}
	world.warnings.take()
	return d
}

func storedAgents(t *testing.T, ns string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("apps/v1")
	u.SetKind("DaemonSet")
	must(t, world.admin.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "agent"}, u))
	return u
}

// agentManifest is what a person has in a file.
func agentManifest(t *testing.T, ns, image string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	must(t, u.UnmarshalJSON([]byte(mustJSON(t, agents(ns, image)))))
	without("status")(u)
	without("metadata", "creationTimestamp")(u)
	without("spec", "template", "metadata", "creationTimestamp")(u)
	return u
}

// agentWays are ways of changing an image that say what the whole DaemonSet ought to be, and one that does not.
var agentWays = map[string]func(t *testing.T, ns, image string) error{
	"replace": func(t *testing.T, ns, image string) error {
		return world.admin.Update(t.Context(), agentManifest(t, ns, image))
	},
	"json patch": func(t *testing.T, ns, image string) error {
		raw := fmt.Appendf(nil, `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image)
		return world.admin.Patch(t.Context(), agents(ns, ""), client.RawPatch(types.JSONPatchType, raw))
	},
	"kubectl apply": func(t *testing.T, ns, image string) error {
		return kubectl(t, agentManifest(t, ns, image), "apply")
	},
	// The node selector is one value to server-side apply: it drops what scales.
	"kubectl apply --server-side": func(t *testing.T, ns, image string) error {
		return kubectl(t, agentManifest(t, ns, image), "apply", "--server-side", "--force-conflicts")
	},
}

func expectAgentsHeld(t *testing.T, ns, image string) {
	t.Helper()
	u := storedAgents(t, ns)
	h := holdOf(u)
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "updateStrategy", "type")
	unavailable, _, _ := unstructured.NestedString(u.Object, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable")
	if h == nil || h.Strategy != "RollingUpdate" || kind != "OnDelete" || unavailable != "30%" {
		t.Fatalf("hold %+v, strategy %q with maxUnavailable %q; want a hold that notes RollingUpdate, and the rest as it was", h, kind, unavailable)
	}
	if !strings.Contains(mustJSON(t, u.Object["spec"]), image) || u.GetLabels()[v1beta1.LabelTracked] != v1beta1.TrackedTarget {
		t.Fatalf("the change to %s is not stored, or the labels are gone: %v", image, u.GetLabels())
	}
}

func TestHoldOfDaemonSets(t *testing.T) {
	for name, change := range agentWays {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			d := trackedAgents(t, ns, true)
			must(t, change(t, ns, "agent:2"))
			expectAgentsHeld(t, ns, "agent:2")
			if w := world.warnings.take(); len(w) != 1 || !strings.Contains(w[0], "held until traffic has left") {
				t.Errorf("warnings %q, want one line about the hold", w)
			}
			must(t, change(t, ns, "agent:3"))
			expectAgentsHeld(t, ns, "agent:3")
			// Somebody wonders why nothing rolls.
			must(t, world.admin.Patch(t.Context(), d, mergePatch(`{"spec":{"updateStrategy":{"type":"RollingUpdate"}}}`)))
			expectAgentsHeld(t, ns, "agent:3")
			// What the strategy says beside its type is nobody's business.
			before := calls(t, PathWorkloads)
			must(t, world.admin.Patch(t.Context(), d, mergePatch(`{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":2}}}}`)))
			if n := calls(t, PathWorkloads) - before; n != 0 {
				t.Errorf("%v calls for a change of maxUnavailable", n)
			}
			u := storedAgents(t, ns)
			must(t, revision.Release(u))
			must(t, world.sluice.Update(t.Context(), u))
			if got := mustJSON(t, storedAgents(t, ns).Object["spec"].(map[string]any)["updateStrategy"]); got !=
				`{"rollingUpdate":{"maxSurge":0,"maxUnavailable":2},"type":"RollingUpdate"}` {
				t.Errorf("after the hold the strategy is %s", got)
			}
		})
	}
}

// Between rollouts a DaemonSet has no pods, whatever a manifest that knows nothing of that says.
func TestIdleDaemonSetsStayIdle(t *testing.T) {
	for name, change := range agentWays {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			trackedAgents(t, ns, false)
			must(t, change(t, ns, "agent:1"))
			if w := world.warnings.take(); len(w) != 0 {
				t.Errorf("the same once more: warnings %q", w)
			}
			must(t, change(t, ns, "agent:2"))
			u := storedAgents(t, ns)
			selector, _, _ := unstructured.NestedStringMap(u.Object, "spec", "template", "spec", "nodeSelector")
			if selector[revision.ScaleToZeroKey] != "true" || selector["disk"] != "ssd" || holdOf(u) != nil {
				t.Errorf("node selector %v, hold %v; want no pods before the rollout, and no hold", selector, holdOf(u))
			}
			if w := world.warnings.take(); len(w) != 1 || !strings.Contains(w[0], "starts a canary rollout") {
				t.Errorf("warnings %q, want one line about the rollout", w)
			}
		})
	}
	t.Run("delete and create", func(t *testing.T) {
		ns := namespace(t)
		d := trackedAgents(t, ns, false)
		awaitReach(t, ns)
		must(t, world.admin.Delete(t.Context(), d))
		must(t, world.admin.Create(t.Context(), agents(ns, "agent:2")))
		if u := storedAgents(t, ns); !revision.ScaledToZero(u) || u.GetLabels()[v1beta1.LabelTracked] != v1beta1.TrackedTarget {
			t.Errorf("created again it has pods at once: %v", u.Object)
		}
	})
}

// A DaemonSet beside which no primary can run is refused with the Canary, and one that is held is not taken for one that never rolls out.
func TestDaemonSetsThatCannotHaveATwin(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*appsv1.DaemonSet)
		want string
	}{
		"good": {func(*appsv1.DaemonSet) {}, ""},
		"held": {func(d *appsv1.DaemonSet) {
			d.Annotations = map[string]string{v1beta1.AnnotationHold: v1beta1.Hold{Revision: "a", Strategy: "RollingUpdate"}.String()}
			d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
		}, ""},
		"port": {func(d *appsv1.DaemonSet) {
			d.Spec.Template.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 9100, HostPort: 9100}}
		}, "takes port 9100"},
		"network":  {func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.HostNetwork = true }, "remove hostNetwork"},
		"strategy": {func(d *appsv1.DaemonSet) { d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType }, "to RollingUpdate"},
	} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			d := agents(ns, "agent:1")
			c.edit(d)
			must(t, world.admin.Create(t.Context(), d))
			err := world.admin.Create(t.Context(), agentCanary(ns))
			if (err != nil) != (c.want != "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("answer %v, want %q", err, c.want)
			}
		})
	}
}

// Under dry run a DaemonSet is answered as it would be, and nothing is written, between rollouts and during one, in either lifecycle.
func TestDryRunOfADaemonSet(t *testing.T) {
	for name, play := range map[string]struct {
		lifecycle v1beta1.Lifecycle
		rolling   bool
		warned    string
		held      bool
	}{
		"persistent":                   {v1beta1.LifecyclePersistent, false, "this change starts a canary rollout of agent", false},
		"persistent, during a rollout": {v1beta1.LifecyclePersistent, true, "this change is held until traffic has left the canary of agent", true},
		"ephemeral":                    {v1beta1.LifecycleEphemeral, false, "this change is held until", true},
	} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			must(t, world.admin.Create(t.Context(), agents(ns, "agent:1")))
			c := agentCanary(ns)
			c.Spec.Primary = &v1beta1.PrimarySpec{Lifecycle: play.lifecycle}
			must(t, world.admin.Create(t.Context(), c))
			setStatus(t, c, play.rolling)
			labels := mergePatch(`{"metadata":{"labels":{%q:%q}}}`, v1beta1.LabelTracked, v1beta1.TrackedTarget)
			if play.lifecycle == v1beta1.LifecycleEphemeral {
				labels = mergePatch(`{"metadata":{"labels":{%q:%q,%q:"true"}}}`, v1beta1.LabelTracked, v1beta1.TrackedTarget, v1beta1.LabelGuarded)
			}
			must(t, world.sluice.Patch(t.Context(), agents(ns, ""), labels))
			world.warnings.take()
			before := everything(t, ns)
			tried := agents(ns, "")
			must(t, world.admin.Patch(t.Context(), tried, mergePatch(`{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`), client.DryRunAll))
			if held := tried.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType && tried.Annotations[v1beta1.AnnotationHold] != ""; held != play.held {
				t.Errorf("the dry run shows a hold: %t, want %t: %v", held, play.held, tried.Annotations)
			}
			if w := world.warnings.take(); len(w) != 1 || !strings.Contains(w[0], play.warned) {
				t.Errorf("warnings %q, want one that says %q", w, play.warned)
			}
			if now := everything(t, ns); !maps.Equal(before, now) {
				t.Errorf("objects differ:\nbefore %v\nafter  %v", before, now)
			}
		})
	}
}
