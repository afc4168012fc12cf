//go:build integration

package webhook

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// A change that comes while users are on the canary is stored but does not roll, however it is made, and so does the one after it.
func TestHold(t *testing.T) {
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			d := tracked(t, ns, "podinfo", true)
			must(t, change(t, d, "podinfo:2"))
			first := expectHeld(t, d, "podinfo:2")
			if w := world.warnings.take(); len(w) != 1 || !strings.Contains(w[0], "held until traffic has left") {
				t.Errorf("warnings %q, want one line about the hold", w)
			}
			must(t, change(t, d, "podinfo:3"))
			second := expectHeld(t, d, "podinfo:3")
			if first == second {
				t.Errorf("both holds name revision %s", first)
			}
			// Once more, the same: a replace drops hold and labels though it changes nothing.
			must(t, change(t, d, "podinfo:3"))
			if third := expectHeld(t, d, "podinfo:3"); third != second {
				t.Errorf("the hold names revision %s after an idle request, before it %s", third, second)
			}
			if got, want := images(t, ns, "podinfo"), []string{"podinfo:1", "podinfo:2"}; !slices.Equal(got, want) {
				t.Errorf("snapshots of %q, want %q: what each change replaced", got, want)
			}
		})
	}
}

// Between rollouts a change lands as it is, apart from the labels.
func TestChangeBetweenRollouts(t *testing.T) {
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			d := tracked(t, ns, "podinfo", false)
			must(t, change(t, d, "podinfo:2"))
			u := stored(t, d)
			if holdOf(u) != nil || isPaused(u) || u.GetLabels()[v1beta1.LabelTracked] != v1beta1.TrackedTarget {
				t.Errorf("metadata %v, paused %v; want labels, no hold", u.Object["metadata"], isPaused(u))
			}
			if got, want := images(t, ns, "podinfo"), []string{"podinfo:1"}; !slices.Equal(got, want) {
				t.Errorf("snapshots of %q, want %q", got, want)
			}
			if w := world.warnings.take(); len(w) != 1 || !strings.Contains(w[0], "starts a canary rollout of podinfo") {
				t.Errorf("warnings %q, want one line about the rollout", w)
			}
		})
	}
}

// What is stored is what was asked for, and nothing else but the hold.
func TestOtherFieldsSurvive(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", true)
	must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), d))
	d.Spec.Template.Spec.HostnameOverride = new("one.of.the.newest.fields")
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	d.Annotations = map[string]string{"a.b/c": "slashes"}
	requested := d.DeepCopy()
	must(t, world.admin.Update(t.Context(), d))
	if holdOf(stored(t, d)) == nil {
		t.Fatal("the change is not held")
	}
	requested.Spec.Paused = true
	if a, b := mustJSON(t, requested.Spec), mustJSON(t, d.Spec); a != b {
		t.Errorf("spec differs:\nrequested %s\nstored    %s", a, b)
	}
	delete(d.Annotations, v1beta1.AnnotationHold)
	delete(d.Annotations, v1beta1.AnnotationAdmitted)
	if a, b := mustJSON(t, requested.Annotations), mustJSON(t, d.Annotations); a != b {
		t.Errorf("annotations %s, want %s", b, a)
	}
}

// Resuming is what a person does who wonders why nothing rolls; the hold comes back, the person's own pause does not.
func TestResumeDuringHold(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", true, func(d *appsv1.Deployment) { d.Spec.Paused = true })
	must(t, ways["json patch"](t, d, "podinfo:2"))
	if h := holdOf(stored(t, d)); h == nil || !h.Paused {
		t.Fatalf("hold %v, want one that records the pause", h)
	}
	resume := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"paused":false}}`))
	must(t, world.admin.Patch(t.Context(), d.DeepCopy(), resume))
	expectHeld(t, d, "podinfo:2")
}

// Sluice's own requests pass as they are, also those that would be held if a person made them.
func TestSelfExclusion(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", true)
	before := calls(t, PathWorkloads)
	must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), d))
	d.Spec.Template.Spec.Containers[0].Image = "podinfo:2"
	d.Labels = nil
	must(t, world.sluice.Update(t.Context(), d))
	if u := stored(t, d); holdOf(u) != nil || len(u.GetLabels()) > 0 {
		t.Errorf("metadata %v, want it as Sluice wrote it", u.Object["metadata"])
	}
	if n := calls(t, PathWorkloads) - before; n != 0 {
		t.Errorf("%v calls, want none", n)
	}
}

func TestDeletionIsSnapshotted(t *testing.T) {
	for name, remove := range map[string]func(*appsv1.Deployment) error{
		"one": func(d *appsv1.Deployment) error { return world.admin.Delete(t.Context(), d) },
		"foreground": func(d *appsv1.Deployment) error {
			return world.admin.Delete(t.Context(), d, client.PropagationPolicy(metav1.DeletePropagationForeground))
		},
		"all": func(d *appsv1.Deployment) error {
			return world.admin.DeleteAllOf(t.Context(), &appsv1.Deployment{}, client.InNamespace(d.Namespace))
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			d := tracked(t, ns, "podinfo", false, readsConfigs(t, ns))
			// The reconciler may have swept the baseline.
			must(t, world.admin.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace(ns)))
			must(t, remove(d))
			kept := snapshotsOf(t, ns, "podinfo")
			if len(kept) != 1 || len(kept[0].Configs) != 2 {
				t.Fatalf("snapshots %+v, want one with two configs", kept)
			}
			var copied corev1.Secret
			must(t, world.admin.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: kept[0].Configs[1].Copy}, &copied))
			if string(copied.Data["key"]) != "value" || copied.Immutable == nil || !*copied.Immutable {
				t.Errorf("copy of the Secret: data of %d keys, immutable %v", len(copied.Data), copied.Immutable)
			}
			err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), d)
			if name != "foreground" && !apierrors.IsNotFound(err) {
				t.Errorf("after the deletion: %v, want not found", err)
			}
		})
	}
}

// Once a revision is stored, further changes of it ask the API server for nothing.
func TestSteadyStateAsksNothing(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", false, readsConfigs(t, ns))
	// The status names the stored revision, as the reconciler would say.
	baseline := snapshotsOf(t, ns, "podinfo")[0]
	var c v1beta1.Canary
	must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), &c))
	c.Status.CurrentRevision = baseline.Digest
	must(t, world.sluice.Status().Update(t.Context(), &c))
	eventually(t, func() error {
		var seen v1beta1.Canary
		if err := world.cache.Get(t.Context(), client.ObjectKeyFromObject(d), &seen); err != nil {
			return err
		}
		if seen.Status.CurrentRevision == "" {
			return errors.New("the status is not in the cache")
		}
		return world.cache.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: baseline.Name}, &appsv1.ControllerRevision{})
	})
	eventually(t, func() error { return expectReach(t, ns, true) })
	// Something else of the webhook process may have a request on its way, so there is more than one attempt, each from what the status names.
	eventually(t, func() error {
		back := `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"podinfo:1"}]`
		must(t, world.sluice.Patch(t.Context(), d.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(back))))
		before, asked := world.requests.Load(), calls(t, PathWorkloads)
		must(t, ways["replace"](t, d, "podinfo:2"))
		if n := calls(t, PathWorkloads) - asked; n == 0 {
			t.Fatal("the webhook was not called")
		}
		if n := world.requests.Load() - before; n != 0 {
			return fmt.Errorf("%d requests to the API server, want none", n)
		}
		return nil
	})
}

// A label without its Canary is taken off, whoever left it there.
func TestLeftoversHeal(t *testing.T) {
	ns := namespace(t)
	leftovers := map[string]string{v1beta1.LabelTracked: v1beta1.TrackedTarget, v1beta1.LabelCanary: "gone", "team": "a"}
	d := deployment(ns, "podinfo", "podinfo:1")
	d.Labels = leftovers
	d.Annotations = map[string]string{v1beta1.AnnotationHold: heldByB}
	d.Spec.Paused = true
	copied := deployment(ns, "other", "podinfo:1")
	copied.Labels = map[string]string{v1beta1.LabelTracked: v1beta1.TrackedTarget, v1beta1.LabelCanary: "podinfo"}
	must(t, world.admin.Create(t.Context(), d))
	must(t, world.admin.Create(t.Context(), copied))
	for _, o := range []*appsv1.Deployment{d, copied} {
		must(t, ways["json patch"](t, o, "podinfo:2"))
		u := stored(t, o)
		if l := u.GetLabels(); l[v1beta1.LabelTracked]+l[v1beta1.LabelCanary] != "" {
			t.Errorf("%s: labels %v, want Sluice's gone", o.Name, l)
		}
		if holdOf(u) != nil || isPaused(u) {
			t.Errorf("%s is still held", o.Name)
		}
	}
	if l := stored(t, d).GetLabels(); l["team"] != "a" {
		t.Errorf("labels %v, want the user's own kept", l)
	}
	if n := len(snapshotsOf(t, ns, "podinfo")); n != 0 {
		t.Errorf("%d snapshots of something that is no target", n)
	}
}

// A Canary whose name no label can hold is found by its reference, and its target stays writable.
func TestLongCanaryName(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), deployment(ns, "podinfo", "podinfo:1")))
	long := canary(ns, "podinfo")
	long.Name = strings.Repeat("c", 100)
	must(t, world.admin.Create(t.Context(), long))
	must(t, ways["replace"](t, deployment(ns, "podinfo", ""), "podinfo:2"))
	u := stored(t, deployment(ns, "podinfo", ""))
	if holdOf(u) == nil || u.GetLabels()[v1beta1.LabelTracked] != v1beta1.TrackedTarget {
		t.Errorf("metadata %v, want a tracked and held target", u.Object["metadata"])
	}
}

// A Canary that the cache has not seen yet counts.
func TestCanaryRightBefore(t *testing.T) {
	ns := namespace(t)
	for i := range 10 {
		name := fmt.Sprintf("podinfo-%d", i)
		must(t, world.admin.Create(t.Context(), deployment(ns, name, "podinfo:1")))
		must(t, world.admin.Create(t.Context(), canary(ns, name)))
		must(t, ways["json patch"](t, deployment(ns, name, ""), "podinfo:2"))
		expectHeld(t, deployment(ns, name, ""), "podinfo:2")
		kept := snapshotsOf(t, ns, name)
		if len(kept) != 1 || kept[0].Baseline.IsZero() || !strings.Contains(string(kept[0].Template), "podinfo:1") {
			t.Fatalf("snapshots %+v, want the version before as the baseline", kept)
		}
	}
}

// A revision that cannot be stored does not keep the change from being held.
func TestHoldWithoutSnapshot(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", true, readsConfigs(t, ns))
	must(t, world.admin.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace(ns)))
	must(t, world.admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "settings"}}))
	must(t, ways["json patch"](t, d, "podinfo:2"))
	expectHeld(t, d, "podinfo:2")
	if w := strings.Join(world.warnings.take(), "\n"); !strings.Contains(w, "held until") || !strings.Contains(w, "Secret settings, which does not exist") {
		t.Errorf("warnings %q, want the hold and the missing Secret", w)
	}
}

// The name of a copy holds only a part of its digest, so an object that has the name by chance or on purpose is not taken for the copy.
func TestForeignCopyIsNotTrusted(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", false, readsConfigs(t, ns))
	name := snapshotsOf(t, ns, "podinfo")[0].Configs[0].Copy
	meta := metav1.ObjectMeta{Namespace: ns, Name: name}
	must(t, world.admin.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace(ns)))
	must(t, world.admin.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: meta}))
	must(t, world.admin.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": "planted"}}))
	must(t, ways["json patch"](t, d, "podinfo:2"))
	if w := strings.Join(world.warnings.take(), "\n"); !strings.Contains(w, name) || !strings.Contains(w, "other content") {
		t.Errorf("warnings %q, want one that names the copy", w)
	}
	if n := len(snapshotsOf(t, ns, "podinfo")); n != 0 {
		t.Errorf("%d snapshots refer to a copy with other content", n)
	}
}
