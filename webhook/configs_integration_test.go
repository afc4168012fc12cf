//go:build integration

package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// However a config changes during a rollout, users leave the canary before the change can be read, and the object stays tracked.
func TestConfigIsFenced(t *testing.T) {
	for _, object := range []struct{ kind, field string }{{"ConfigMap", "data"}, {"ConfigMap", "binaryData"}, {"Secret", "data"}, {"Secret", "stringData"}} {
		for name, change := range configWays {
			t.Run(object.kind+" "+object.field+" "+name, func(t *testing.T) {
				ns := namespace(t)
				settings(t, ns)
				reader(t, ns, "podinfo", v1beta1.StageAnalysing)
				before := storedConfig(t, ns, object.kind).GetResourceVersion()
				atFence := ""
				world.fencer.do(func(_ context.Context, _ *v1beta1.Canary, _ v1beta1.Fence) error {
					atFence = storedConfig(t, ns, object.kind).GetResourceVersion()
					return nil
				})
				defer world.fencer.do(nil)
				value := "another"
				if object.field == "binaryData" || (object.kind == "Secret" && object.field == "data") {
					value = base64Of(value)
				}
				must(t, change(t, configManifest(ns, object.kind, object.field, value)))
				if got, want := strings.Join(world.fencer.of(ns, "podinfo"), " "), strings.ToLower(object.kind)+"/settings"; got != want {
					t.Errorf("fences %q, want one for %q", got, want)
				}
				if atFence != before {
					t.Errorf("when users were taken off, the stored object was at version %s; it was at %s before the change", atFence, before)
				}
				expectWarned(t, "users leave the canary of podinfo before this change lands")
				u := storedConfig(t, ns, object.kind)
				expectTracked(t, u, "admin")
				if u.GetResourceVersion() == before || !strings.Contains(mustJSON(t, u.Object), value) && !strings.Contains(mustJSON(t, u.Object), base64Of(value)) {
					t.Error("the change is not stored")
				}
			})
		}
	}
}

// Between rollouts a change lands as it is; the stamp names who made it. A change of nothing but metadata is not asked about, and the stamp stays.
func TestConfigChangeBetweenRollouts(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", "")
	for name, change := range configWays {
		must(t, change(t, configManifest(ns, "ConfigMap", "data", name)))
		expectWarned(t, "starts a canary rollout of podinfo")
		expectTracked(t, storedConfig(t, ns, "ConfigMap"), "admin")
		must(t, change(t, configManifest(ns, "ConfigMap", "data", name)))
		expectWarned(t)
		expectTracked(t, storedConfig(t, ns, "ConfigMap"), "admin")
	}
	if got := world.fencer.of(ns, "podinfo"); len(got) > 0 {
		t.Errorf("fences %q, want none between rollouts", got)
	}
}

// While the revision that the status names is stored, a change asks the API server for nothing but the fence.
func TestConfigSteadyStateAsksNothing(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	eventually(t, func() error { return expectReach(t, ns, true) })
	verified := calls(t, PathVerifyConfigs)
	// Something else of the webhook process may have a request on its way, so there is more than one attempt, each from what the status names.
	eventually(t, func() error {
		must(t, world.sluice.Patch(t.Context(), configManifest(ns, "ConfigMap", "data", ""), mergePatch(`{"data":{"key":"value"}}`)))
		before, asked := world.requests.Load(), calls(t, PathConfigs)
		must(t, configWays["replace"](t, configManifest(ns, "ConfigMap", "data", "b")))
		if n := calls(t, PathConfigs) - asked; n != 1 {
			t.Fatalf("%v calls, want one", n)
		}
		if n := world.requests.Load() - before; n != 0 {
			return fmt.Errorf("%d requests to the API server, want none", n)
		}
		return nil
	})
	if n := calls(t, PathVerifyConfigs) - verified; n != 0 {
		t.Errorf("%v calls in the validating phase, want none: the mutating phase has seen the change", n)
	}
}

// What a change replaces is stored where it is not, with the name of who had made it.
func TestConfigSnapshotHoldsWhatWasBefore(t *testing.T) {
	for _, kind := range []string{"ConfigMap", "Secret"} {
		t.Run(kind, func(t *testing.T) {
			ns := namespace(t)
			settings(t, ns)
			reader(t, ns, "podinfo", "")
			field := map[string]string{"ConfigMap": "data", "Secret": "stringData"}[kind]
			key := strings.ToLower(kind) + "/settings"
			must(t, configWays["patch"](t, configManifest(ns, kind, field, "second")))
			// Nobody has told the webhook about the second revision, so the third change must store it.
			must(t, configWays["patch"](t, configManifest(ns, kind, field, "third")))
			kept := snapshotsOf(t, ns, "podinfo")
			if len(kept) != 2 {
				t.Fatalf("%d snapshots, want those of the first and the second content", len(kept))
			}
			for _, s := range kept {
				want, by := "value", ""
				if s.Baseline.IsZero() {
					want, by = "second", "admin"
				}
				if got := copyOf(t, ns, s, key)["key"]; got != want {
					t.Errorf("snapshot %s holds %q, want %q", s.Name, got, want)
				}
				var object appsv1.ControllerRevision
				must(t, world.admin.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: s.Name}, &object))
				if got := object.Annotations[v1beta1.AnnotationChangedBy]; got != by {
					t.Errorf("snapshot of the content %q is changed by %q, want %q", want, got, by)
				}
			}
		})
	}
}

// A deletion takes users off the canary, because what is created in the config's place may land unseen, and keeps what was there.
func TestConfigDeletion(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	must(t, world.admin.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace(ns)))
	eventually(t, func() error {
		var list appsv1.ControllerRevisionList
		if err := world.cache.List(t.Context(), &list, client.InNamespace(ns)); err != nil || len(list.Items) > 0 {
			return fmt.Errorf("%d snapshots in the webhook's cache: %w", len(list.Items), err)
		}
		return nil
	})
	must(t, world.admin.Delete(t.Context(), configManifest(ns, "Secret", "data", "")))
	expectWarned(t, "references Secret settings: its content is kept")
	if kept := snapshotsOf(t, ns, "podinfo"); len(kept) != 1 || copyOf(t, ns, kept[0], "secret/settings")["key"] != "value" {
		t.Errorf("snapshots %+v, want one with what the Secret held", kept)
	}
	if got := world.fencer.of(ns, "podinfo"); !slices.Equal(got, []string{"secret/settings"}) {
		t.Errorf("fences %q, want one for the Secret", got)
	}
}

// What passes straight to pods is neither fenced nor kept, and the person is told.
func TestConfigPassesStraight(t *testing.T) {
	for name, mark := range map[string]string{"opted out": "flagger.app/config-tracking", "direct": "sluice.dev/rotation"} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			settings(t, ns)
			reader(t, ns, "podinfo", v1beta1.StageAnalysing)
			value := map[string]string{"opted out": "disabled", "direct": "direct"}[name]
			object := configManifest(ns, "Secret", "stringData", "value")
			must(t, world.admin.Patch(t.Context(), object, mergePatch(`{"metadata":{"annotations":{%q:%q}}}`, mark, value)))
			// A patch is tried on what the API server's own cache holds first.
			eventually(t, func() error {
				cached := &metav1.PartialObjectMetadata{}
				cached.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
				err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(object), cached, &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: "0"}})
				if err == nil && cached.Annotations[mark] != value {
					err = fmt.Errorf("annotations %v in the API server's cache", cached.Annotations)
				}
				return err
			})
			world.warnings.take()
			must(t, configWays["patch"](t, configManifest(ns, "Secret", "stringData", "rotated")))
			expectWarned(t, "passes straight to the pods that read it")
			if got := world.fencer.of(ns, "podinfo"); len(got) > 0 {
				t.Errorf("fences %q, want none", got)
			}
			if kept := snapshotsOf(t, ns, "podinfo"); len(kept) != 1 {
				t.Errorf("%d snapshots, want the one of before", len(kept))
			}
		})
	}
}

// The API server refuses other content of an immutable config, so nobody is disturbed for it.
func TestImmutableConfig(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	must(t, world.admin.Patch(t.Context(), configManifest(ns, "ConfigMap", "data", ""), mergePatch(`{"immutable":true}`)))
	// The API server may try a change on an older state of the object first.
	eventually(t, func() error {
		before := len(world.fencer.of(ns, "podinfo"))
		if err := configWays["patch"](t, configManifest(ns, "ConfigMap", "data", "b")); !apierrors.IsInvalid(err) {
			t.Errorf("error %v, want the API server's refusal", err)
		}
		if w := world.warnings.take(); len(w) > 0 || len(world.fencer.of(ns, "podinfo")) > before {
			return fmt.Errorf("users were taken off for a change that is refused; warnings %q", w)
		}
		return nil
	})
}

// Each Canary that shares a config is looked at by itself.
func TestSharedConfig(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "idle", "")
	reader(t, ns, "busy", v1beta1.StagePromoting)
	must(t, configWays["replace"](t, configManifest(ns, "ConfigMap", "data", "b")))
	expectWarned(t, "users leave the canary of busy", "starts a canary rollout of idle")
	if idle, busy := world.fencer.of(ns, "idle"), world.fencer.of(ns, "busy"); len(idle) != 0 || len(busy) != 1 {
		t.Errorf("fences of idle %q, of busy %q; want only busy's", idle, busy)
	}
}

// A fence that cannot be written keeps nobody from changing a config, and takes no longer than there is time for.
func TestConfigFenceFails(t *testing.T) {
	for name, tt := range map[string]struct {
		then func(context.Context, *v1beta1.Canary, v1beta1.Fence) error
		want string
	}{
		"it is refused": {func(context.Context, *v1beta1.Canary, v1beta1.Fence) error { return errors.New("no rights") }, "no rights"},
		"it hangs": {func(ctx context.Context, _ *v1beta1.Canary, _ v1beta1.Fence) error {
			<-ctx.Done()
			return ctx.Err()
		}, "users could not be taken off the canary of podinfo"},
		"it is deaf": {func(context.Context, *v1beta1.Canary, v1beta1.Fence) error { select {} }, "not done in time"},
	} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			settings(t, ns)
			reader(t, ns, "podinfo", v1beta1.StageAnalysing)
			world.fencer.do(tt.then)
			defer world.fencer.do(nil)
			must(t, configWays["patch"](t, configManifest(ns, "ConfigMap", "data", "b")))
			expectWarned(t, tt.want)
			// The answer came from the webhook and not from the API server's own timeout: the object is stamped.
			expectTracked(t, storedConfig(t, ns, "ConfigMap"), "admin")
		})
	}
}

// Under dry run the answer is the same, and nothing is written anywhere.
func TestConfigDryRunWritesNothing(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	must(t, world.admin.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace(ns)))
	before := everything(t, ns)
	tried := configManifest(ns, "ConfigMap", "data", "b")
	must(t, world.admin.Update(t.Context(), tried, client.DryRunAll))
	expectTracked(t, tried, "admin")
	expectWarned(t, "users leave the canary of podinfo")
	must(t, world.admin.Delete(t.Context(), configManifest(ns, "Secret", "data", ""), client.DryRunAll))
	expectWarned(t, "its content is kept")
	if now := everything(t, ns); mustJSON(t, before) != mustJSON(t, now) {
		t.Errorf("objects differ:\nbefore %v\nafter  %v", before, now)
	}
	if got := world.fencer.of(ns, "podinfo"); len(got) > 0 {
		t.Errorf("fences %q, want none", got)
	}
}

// A config is tracked from the moment its Canary is admitted: the very next request may change it, before anybody has looked at the Canary.
func TestConfigRightAfterTheCanary(t *testing.T) {
	ns := namespace(t)
	for i := range 5 {
		name := fmt.Sprintf("page-%d", i)
		must(t, world.admin.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: map[string]string{"key": "first"}}))
		d := deployment(ns, name, "podinfo:1")
		d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}}
		must(t, world.admin.Create(t.Context(), d))
		must(t, world.admin.Create(t.Context(), canary(ns, name)))
		world.warnings.take()
		changed := configManifest(ns, "ConfigMap", "data", "second")
		changed.SetName(name)
		must(t, world.admin.Update(t.Context(), changed))
		expectTracked(t, changed, "admin")
		expectWarned(t, "canary "+name+" is being initialised")
		kept := snapshotsOf(t, ns, name)
		if len(kept) != 1 || copyOf(t, ns, kept[0], "configmap/"+name)["key"] != "first" {
			t.Fatalf("snapshots %+v, want the content before as the baseline", kept)
		}
	}
}

// A label that nobody needs any more is taken off.
func TestConfigLeftoverHeals(t *testing.T) {
	ns := namespace(t)
	u := configManifest(ns, "ConfigMap", "data", "a")
	u.SetLabels(map[string]string{v1beta1.LabelTracked: v1beta1.TrackedConfig, "team": "a"})
	must(t, world.admin.Create(t.Context(), u))
	must(t, configWays["patch"](t, configManifest(ns, "ConfigMap", "data", "b")))
	if l := storedConfig(t, ns, "ConfigMap").GetLabels(); l[v1beta1.LabelTracked] != "" || l["team"] != "a" {
		t.Errorf("labels %v, want the user's own and no other", l)
	}
}

// Admission is asked about targets by Canaries whose label is not theirs; of several the first one created counts, whatever the label says.
func TestOlderCanaryIsInCharge(t *testing.T) {
	ns := namespace(t)
	d := tracked(t, ns, "podinfo", false)
	second := canary(ns, "another")
	second.Spec.TargetRef.Name = "podinfo"
	must(t, world.sluice.Create(t.Context(), second))
	setStatus(t, second, true)
	must(t, world.sluice.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"metadata":{"labels":{"sluice.dev/canary":"another"}}}`)))
	var first, other v1beta1.Canary
	must(t, world.admin.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "podinfo"}, &first))
	must(t, world.admin.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "another"}, &other))
	must(t, ways["json patch"](t, d, "podinfo:2"))
	u := stored(t, d)
	want := "podinfo"
	if other.Precedes(&first) {
		want = "another"
	}
	if got := u.GetLabels()[v1beta1.LabelCanary]; got != want || (holdOf(u) != nil) != (want == "another") {
		t.Errorf("label names %q, held %v; want canary %s in charge", got, holdOf(u) != nil, want)
	}
}

// A target at zero beside a primary has no users, so what it is at is no baseline.
func TestNoBaselineOfAnIdleTarget(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	must(t, world.admin.Create(t.Context(), deployment(ns, "podinfo-primary", "podinfo:1")))
	d := deployment(ns, "podinfo", "podinfo:2")
	d.Spec.Replicas = new(int32)
	d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
	must(t, world.admin.Create(t.Context(), d))
	must(t, world.admin.Create(t.Context(), canary(ns, "podinfo")))
	if kept := snapshotsOf(t, ns, "podinfo"); len(kept) > 0 {
		t.Errorf("snapshots %+v, want none", kept)
	}
	if l := stored(t, d).GetLabels(); l[v1beta1.LabelTracked] != v1beta1.TrackedTarget {
		t.Errorf("labels %v, want the target tracked all the same", l)
	}
	if l := storedConfig(t, ns, "Secret").GetLabels(); l[v1beta1.LabelTracked] != v1beta1.TrackedConfig {
		t.Errorf("labels %v, want its Secret tracked", l)
	}
}

// An answer comes in time for the API server, however large the config, and says which revision it was.
func TestLargestConfig(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	large := strings.Repeat("x", 1000<<10)
	for _, object := range []struct{ kind, field, value string }{
		{"ConfigMap", "data", large}, {"ConfigMap", "binaryData", base64Of(large)}, {"Secret", "data", base64Of(large)},
	} {
		u := configManifest(ns, object.kind, object.field, object.value)
		fenced, attempt := len(world.fencer.of(ns, "podinfo")), 0
		// A busy machine may need more than the time of one call for an object of this size, so there is more than one.
		eventually(t, func() error {
			attempt++
			must(t, unstructured.SetNestedStringMap(u.Object, map[string]string{"key": object.value, "last": base64Of(fmt.Sprint(attempt))}, object.field))
			must(t, world.admin.Update(t.Context(), u.DeepCopy()))
			if n := len(world.fencer.of(ns, "podinfo")); n == fenced {
				return fmt.Errorf("attempt %d of %s %s: nobody was asked", attempt, object.kind, object.field)
			}
			return nil
		})
		if attempt > 1 {
			t.Logf("%s %s: %d attempts", object.kind, object.field, attempt)
		}
	}
}

// The time at which users were taken off is that of the replica's clock, and the fence names the config.
func TestFenceSaysWhen(t *testing.T) {
	ns := namespace(t)
	settings(t, ns)
	reader(t, ns, "podinfo", v1beta1.StageAnalysing)
	var got v1beta1.Fence
	world.fencer.do(func(_ context.Context, _ *v1beta1.Canary, f v1beta1.Fence) error {
		got = f
		return nil
	})
	defer world.fencer.do(nil)
	before := time.Now()
	must(t, configWays["patch"](t, configManifest(ns, "Secret", "stringData", "b")))
	if got.Cause != (revision.ConfigRef{Kind: revision.Secret, Name: "settings"}).Key() || got.At.Time.Before(before.Add(-time.Second)) || got.At.Time.After(time.Now()) {
		t.Errorf("fence %+v, want the Secret and the time of the change", got)
	}
}
