package webhook

import (
	"encoding/json"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

const heldByB = `{"revision":"bbbb","paused":false}`

// workload builds a Deployment from changes to a tracked one that runs image 1 and has a field that no Go type knows.
func workload(t *testing.T, changes ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	err := u.UnmarshalJSON([]byte(`{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": {"name": "podinfo", "namespace": "test",
			"labels": {"sluice.dev/tracked": "target", "sluice.dev/canary": "podinfo", "team": "a"},
			"annotations": {"note": "kept"}},
		"spec": {"replicas": 2, "fieldOfTomorrow": {"a": 1},
			"template": {"spec": {"containers": [{"name": "app", "image": "podinfo:1", "newInTheNextRelease": true}]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(u)
	}
	return u
}

func set(value any, path ...string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
			panic(err)
		}
	}
}

func without(path ...string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, path...) }
}

func image(tag string) func(*unstructured.Unstructured) {
	return set([]any{map[string]any{"name": "app", "image": "podinfo:" + tag, "newInTheNextRelease": true}}, "spec", "template", "spec", "containers")
}

func hold(value string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		set(value, "metadata", "annotations", v1beta1.AnnotationHold)(u)
		set(true, "spec", "paused")(u)
	}
}

func paused(p bool) func(*unstructured.Unstructured) { return set(p, "spec", "paused") }

// replaced is what a manifest without Sluice's additions looks like.
func replaced(u *unstructured.Unstructured) {
	without("metadata", "labels")(u)
	without("metadata", "annotations")(u)
	without("spec", "paused")(u)
}

// after applies the outcome's patches.
func after(t *testing.T, u *unstructured.Unstructured, out Outcome) *unstructured.Unstructured {
	t.Helper()
	raw, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	ops, err := json.Marshal(out.Patches)
	if err != nil {
		t.Fatal(err)
	}
	p, err := jsonpatch.DecodePatch(ops)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Patches) > 0 {
		if raw, err = p.Apply(raw); err != nil {
			t.Fatalf("apply %s: %v", ops, err)
		}
	}
	result := &unstructured.Unstructured{}
	if err := result.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return result
}

func digestOf(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	return digested(t, u, revision.Snapshot.Digest)
}

// digested takes the bare template's digest from a snapshot, as the reconciler would.
func digested(t *testing.T, u *unstructured.Unstructured, by func(revision.Snapshot) (string, error)) string {
	t.Helper()
	s, _, err := revision.Take(u, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := by(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func addressOf(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	return digested(t, u, revision.Snapshot.TemplateDigest)
}

// stamped records that a user has admitted the template with an image.
func stamped(user, tag string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		other := u.DeepCopy()
		image(tag)(other)
		template, err := revision.TemplateOf(other)
		if err != nil {
			panic(err)
		}
		set(v1beta1.Admitted{By: user, Digest: revision.CanonicalTemplateDigest(template)}.String(), "metadata", "annotations", v1beta1.AnnotationAdmitted)(u)
	}
}

func heldAs(t *testing.T, u *unstructured.Unstructured, wasPaused bool) string {
	t.Helper()
	return v1beta1.Hold{Revision: digestOf(t, u), Paused: wasPaused}.String()
}

func TestDecideOnUpdate(t *testing.T) {
	type change = []func(*unstructured.Unstructured)
	tests := map[string]struct {
		old, new change
		hold     bool
		// hold annotation ("" for none) and pause of the object that is stored.
		wantHold   func(*unstructured.Unstructured) string
		wantPaused bool
		snapshot   bool
		patched    bool
		// warned is part of the warning; a change has one in any case.
		warned string
	}{
		"nothing relevant changed": {new: change{set(int64(5), "spec", "replicas")}},
		"order and spelling are no change": {
			new: change{set([]any{map[string]any{"newInTheNextRelease": true, "image": "podinfo:1", "name": "app"}}, "spec", "template", "spec", "containers")}, hold: true},
		"a field of the template that no type knows is a change": {
			new:      change{set([]any{map[string]any{"name": "app", "image": "podinfo:1", "newInTheNextRelease": false}}, "spec", "template", "spec", "containers")},
			snapshot: true, patched: true,
		},
		"a change between rollouts lands":   {new: change{image("2")}, snapshot: true, patched: true},
		"a stamp outlives a replace":        {old: change{stamped("john", "1")}, new: change{replaced}, patched: true},
		"a change renews the stamp":         {old: change{stamped("john", "1")}, new: change{stamped("john", "1"), image("2")}, snapshot: true, patched: true},
		"a forged stamp does not last":      {new: change{stamped("john", "2"), image("2")}, snapshot: true, patched: true},
		"a change during a rollout is held": {new: change{image("2")}, hold: true, wantHold: held(t, false), wantPaused: true, snapshot: true, patched: true},
		"the user's own pause is recorded": {old: change{paused(true)}, new: change{paused(true), image("2")}, hold: true, wantHold: held(t, true), wantPaused: true, snapshot: true, patched: true,
			warned: "this change waits for kubectl rollout resume"},
		"the user's own pause between rollouts": {old: change{paused(true)}, new: change{paused(true), image("2")}, wantPaused: true, snapshot: true, patched: true,
			warned: "podinfo is paused by its owner"},
		"a second change renews the hold":    {old: change{image("2"), hold(heldByB)}, new: change{image("3"), hold(heldByB)}, hold: true, wantHold: held(t, false), wantPaused: true, snapshot: true, patched: true},
		"a recorded pause outlives a change": {old: change{image("2"), hold(`{"revision":"b","paused":true}`)}, new: change{image("3"), hold(`{"revision":"b","paused":true}`)}, hold: true, wantHold: held(t, true), wantPaused: true, snapshot: true, patched: true},
		"a replace that changes the template": {
			old: change{image("2"), hold(heldByB)}, new: change{image("3"), replaced}, hold: true, wantHold: held(t, false), wantPaused: true, snapshot: true, patched: true},
		"a replace that does not": {
			old: change{hold(heldByB)}, new: change{replaced}, hold: true, wantHold: is(heldByB), wantPaused: true, patched: true},
		"a replace with a pause of the user's": {
			old: change{hold(heldByB)}, new: change{replaced, paused(true)}, hold: true, wantHold: is(`{"revision":"bbbb","paused":true}`), wantPaused: true, patched: true},
		"resuming does not end a hold": {
			old: change{hold(heldByB)}, new: change{hold(heldByB), paused(false)}, hold: true, wantHold: is(heldByB), wantPaused: true, patched: true,
			warned: "podinfo stays held until traffic has left the canary of podinfo"},
		"resuming ends the user's own pause": {
			old: change{hold(`{"revision":"bbbb","paused":true}`)}, new: change{hold(`{"revision":"bbbb","paused":true}`), paused(false)}, hold: true,
			wantHold: is(heldByB), wantPaused: true, patched: true, warned: "apply the version that you want"},
		"taking the annotation off does not end a hold": {
			old: change{hold(heldByB)}, new: change{paused(true)}, hold: true, wantHold: is(heldByB), wantPaused: true, patched: true},
		"taking the annotation off ends a hold that nobody needs": {
			old: change{hold(heldByB)}, new: change{paused(true)}, patched: true},
		"a hold that is about to be released is left alone": {
			old: change{hold(heldByB)}, new: change{hold(heldByB), set("b", "metadata", "labels", "team")}, wantHold: is(heldByB), wantPaused: true},
		"a hold from an exported manifest goes": {
			new: change{hold(heldByB)}, hold: true, patched: true},
		"a hold from an exported manifest goes between rollouts too": {
			new: change{hold(heldByB), image("2")}, snapshot: true, patched: true},
		"an annotation that does not parse still holds": {
			old: change{hold("mangled")}, new: change{hold("mangled")}, hold: true, wantHold: held(t, false), wantPaused: true, patched: true},
		"lost labels come back": {new: change{without("metadata", "labels")}, patched: true},
		"wrong labels are put right": {
			new: change{set("config", "metadata", "labels", v1beta1.LabelTracked), set("other", "metadata", "labels", v1beta1.LabelCanary)}, patched: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := Facts{Operation: admissionv1.Update, Old: workload(t, tt.old...), New: workload(t, tt.new...), Canary: canary("test", "podinfo"), Hold: tt.hold, User: "jane"}
			out := decide(t, f)
			if out.Snapshot != tt.snapshot {
				t.Errorf("snapshot: %v, want %v", out.Snapshot, tt.snapshot)
			}
			if (len(out.Patches) > 0) != tt.patched {
				t.Errorf("patches: %v, want some: %v", out.Patches, tt.patched)
			}
			if got := strings.Join(out.Warnings, "\n"); (len(out.Warnings) == 1) != (tt.snapshot || tt.warned != "") || !strings.Contains(got, tt.warned) {
				t.Errorf("warnings: %q, want one with %q; a change of the template and a resume that opens nothing have one, nothing else has any", got, tt.warned)
			}
			stored := after(t, f.New, out)
			want := ""
			if tt.wantHold != nil {
				want = tt.wantHold(f.New)
			}
			if got := stored.GetAnnotations()[v1beta1.AnnotationHold]; got != want {
				t.Errorf("hold: %s, want %s", got, want)
			}
			if isPaused(stored) != tt.wantPaused {
				t.Errorf("paused: %v, want %v", isPaused(stored), tt.wantPaused)
			}
			if l := stored.GetLabels(); l[v1beta1.LabelTracked] != v1beta1.TrackedTarget || l[v1beta1.LabelCanary] != "podinfo" {
				t.Errorf("labels: %v, want those of a target of podinfo", l)
			}
			wantStamp := f.Old.GetAnnotations()[v1beta1.AnnotationAdmitted]
			if tt.snapshot {
				wantStamp = v1beta1.Admitted{By: "jane", Digest: addressOf(t, f.New)}.String()
			}
			if got := stored.GetAnnotations()[v1beta1.AnnotationAdmitted]; got != wantStamp {
				t.Errorf("stamp: %s, want %s", got, wantStamp)
			}
			untouched(t, f.New, stored)
			// The API server may ask again with what the first answer made of the object.
			again := decide(t, Facts{Operation: f.Operation, Old: f.Old, New: stored, Canary: f.Canary, Hold: f.Hold, User: f.User})
			if len(again.Patches) > 0 {
				t.Errorf("a second call patches again: %v", again.Patches)
			}
		})
	}
}

// held wants a hold of the requested object's own revision.
func held(t *testing.T, wasPaused bool) func(*unstructured.Unstructured) string {
	return func(u *unstructured.Unstructured) string { return heldAs(t, u, wasPaused) }
}

func is(value string) func(*unstructured.Unstructured) string {
	return func(*unstructured.Unstructured) string { return value }
}

func decide(t *testing.T, f Facts) Outcome {
	t.Helper()
	out, err := Decide(f)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// untouched compares everything but what Sluice may change.
func untouched(t *testing.T, requested, stored *unstructured.Unstructured) {
	t.Helper()
	strip := func(u *unstructured.Unstructured) string {
		u = u.DeepCopy()
		without("spec", "paused")(u)
		without("metadata", "annotations", v1beta1.AnnotationHold)(u)
		without("metadata", "annotations", v1beta1.AnnotationAdmitted)(u)
		without("metadata", "labels", v1beta1.LabelTracked)(u)
		without("metadata", "labels", v1beta1.LabelCanary)(u)
		for _, field := range []string{"labels", "annotations"} {
			if m, _, _ := unstructured.NestedMap(u.Object, "metadata", field); len(m) == 0 {
				without("metadata", field)(u)
			}
		}
		raw, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if a, b := strip(requested), strip(stored); a != b {
		t.Errorf("other fields changed:\nrequested %s\nstored    %s", a, b)
	}
}

func TestDecideLeavesAlone(t *testing.T) {
	now := metav1.Now()
	goes := func(u *unstructured.Unstructured) { u.SetDeletionTimestamp(&now) }
	left := canary("test", "podinfo")
	left.Annotations = map[string]string{v1beta1.AnnotationLeave: "true"}
	gone := canary("test", "podinfo")
	gone.DeletionTimestamp = &now
	replacedAndHeld := workload(t, image("2"), replaced)
	tests := map[string]Facts{
		"an object that is deleted": {Old: workload(t, goes), New: workload(t, goes, image("2"), replaced), Canary: canary("test", "podinfo")},
		"a Canary that gives back":  {Old: workload(t, hold(heldByB)), New: replacedAndHeld, Canary: left},
		"a Canary that is deleted":  {Old: workload(t, hold(heldByB)), New: replacedAndHeld, Canary: gone},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			f.Operation, f.Hold = admissionv1.Update, true
			out := decide(t, f)
			if len(out.Patches)+len(out.Warnings) > 0 || out.Snapshot {
				t.Errorf("got %+v, want nothing", out)
			}
		})
	}
}

func TestDecideWithoutCanary(t *testing.T) {
	t.Run("labels and hold are taken off", func(t *testing.T) {
		f := Facts{Operation: admissionv1.Update, Old: workload(t, hold(heldByB)), New: workload(t, hold(heldByB), image("2"))}
		stored := after(t, f.New, decide(t, f))
		want := workload(t, image("2"), without("metadata", "labels", v1beta1.LabelTracked), without("metadata", "labels", v1beta1.LabelCanary), paused(false))
		if a, b := mustJSON(t, stored), mustJSON(t, want); a != b {
			t.Errorf("stored %s\nwant   %s", a, b)
		}
	})
	t.Run("the user's own pause stays", func(t *testing.T) {
		h := hold(`{"revision":"b","paused":true}`)
		f := Facts{Operation: admissionv1.Update, Old: workload(t, h), New: workload(t, h)}
		if stored := after(t, f.New, decide(t, f)); !isPaused(stored) || holdOf(stored) != nil {
			t.Errorf("stored %s, want paused without a hold", mustJSON(t, stored))
		}
	})
	t.Run("what marks another kind of object stays", func(t *testing.T) {
		primary := set(v1beta1.TrackedPrimary, "metadata", "labels", v1beta1.LabelTracked)
		f := Facts{Operation: admissionv1.Update, Old: workload(t), New: workload(t, primary)}
		if got := after(t, f.New, decide(t, f)).GetLabels()[v1beta1.LabelTracked]; got != v1beta1.TrackedPrimary {
			t.Errorf("label is %q", got)
		}
	})
	for _, op := range []admissionv1.Operation{admissionv1.Create, admissionv1.Delete} {
		t.Run(string(op)+" is left alone", func(t *testing.T) {
			f := Facts{Operation: op, Old: workload(t), New: workload(t)}
			if out := decide(t, f); len(out.Patches)+len(out.Warnings) > 0 || out.Snapshot {
				t.Errorf("got %+v, want nothing", out)
			}
		})
	}
}

func TestDecideOnCreateAndDelete(t *testing.T) {
	created := decide(t, Facts{Operation: admissionv1.Create, New: workload(t, replaced), Canary: canary("test", "podinfo"), Hold: true, User: "jane"})
	if got := mustJSON(t, created.Patches); got != `[{"op":"add","path":"/metadata/labels","value":{"sluice.dev/tracked":"target"}},`+
		`{"op":"add","path":"/metadata/labels/sluice.dev~1canary","value":"podinfo"},`+
		`{"op":"add","path":"/metadata/annotations","value":{"sluice.dev/admitted":"{\"by\":\"jane\",\"digest\":\"`+addressOf(t, workload(t))+`\"}"}}]` {
		t.Errorf("patches of a new target: %s", got)
	}
	long := canary("test", strings.Repeat("c", 100))
	if got := mustJSON(t, decide(t, Facts{Operation: admissionv1.Create, New: workload(t, replaced), Canary: long}).Patches); !strings.Contains(got, revision.LabelValue(long.Name)) || strings.Contains(got, long.Name) {
		t.Errorf("patches with a name that no label can hold: %s", got)
	}
	served := canary("test", "podinfo")
	served.Status.Phase = v1beta1.PhaseSucceeded
	deleted := decide(t, Facts{Operation: admissionv1.Delete, Old: workload(t), Canary: served})
	if !deleted.Snapshot || len(deleted.Patches) > 0 || len(deleted.Warnings) != 1 || !strings.Contains(deleted.Warnings[0], "delete canary podinfo") {
		t.Errorf("deletion: %+v, want a snapshot and a way to leave", deleted)
	}
}

func TestDecideReportsWhatItCannotRead(t *testing.T) {
	f := Facts{Operation: admissionv1.Update, Old: workload(t), New: workload(t, without("spec", "template")), Canary: canary("test", "podinfo")}
	if _, err := Decide(f); err == nil || !strings.Contains(err.Error(), "spec.template") {
		t.Errorf("error is %v, want one that names spec.template", err)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
