package revision

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// daemonSet is the Deployment of these tests as a DaemonSet with a strategy, in YAML.
func daemonSet(t *testing.T, strategy string) *unstructured.Unstructured {
	t.Helper()
	u := parse(t, strings.Replace(deployment, "kind: Deployment", "kind: DaemonSet", 1))
	for _, field := range []string{"replicas", "paused", "strategy", "progressDeadlineSeconds"} {
		unstructured.RemoveNestedField(u.Object, "spec", field)
	}
	if strategy != "" {
		with := parse(t, "{apiVersion: apps/v1, kind: DaemonSet, spec: {updateStrategy: "+strategy+"}}")
		u.Object["spec"].(map[string]any)["updateStrategy"] = with.Object["spec"].(map[string]any)["updateStrategy"]
	}
	return u
}

func TestScalingADaemonSetIsNoRevision(t *testing.T) {
	digests := func(u *unstructured.Unstructured) string {
		s, _, err := Take(u, contentOf)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := s.Digest()
		if err != nil {
			t.Fatal(err)
		}
		template, err := s.TemplateDigest()
		if err != nil {
			t.Fatal(err)
		}
		return whole + " " + template
	}
	for name, selector := range map[string]map[string]any{"no selector": nil, "the user's own selector": {"disk": "ssd"}} {
		t.Run(name, func(t *testing.T) {
			u := daemonSet(t, "")
			if selector != nil {
				if err := unstructured.SetNestedMap(u.Object, selector, "spec", "template", "spec", "nodeSelector"); err != nil {
					t.Fatal(err)
				}
			}
			before := u.DeepCopy()
			if err := ScaleToZero(u, true); err != nil {
				t.Fatal(err)
			}
			if !ScaledToZero(u) || !Idle(u) || ScaledToZero(before) || Idle(before) {
				t.Fatalf("scaled to zero: %v, before that: %v", ScaledToZero(u), ScaledToZero(before))
			}
			down := u.DeepCopy()
			if a, b := digests(before), digests(u); a != b {
				t.Errorf("scaled to zero it is revision %s, before that %s", b, a)
			}
			if fmt.Sprint(u.Object) != fmt.Sprint(down.Object) {
				t.Error("taking a snapshot changed the object")
			}
			if err := ScaleToZero(u, false); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(u.Object) != fmt.Sprint(before.Object) {
				t.Errorf("scaled to zero and back: %v, want %v", u.Object, before.Object)
			}
		})
	}
	// On a Deployment it is a selector like any other.
	u := parse(t, deployment)
	before := digests(u)
	if err := unstructured.SetNestedField(u.Object, "true", "spec", "template", "spec", "nodeSelector", ScaleToZeroKey); err != nil {
		t.Fatal(err)
	}
	if digests(u) == before {
		t.Error("a change of a Deployment's template goes unnoticed")
	}
}

func TestAHoldIsNoneOfTheWorkloadsOwn(t *testing.T) {
	free := daemonSet(t, "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 2}}")
	held := daemonSet(t, "{type: OnDelete, rollingUpdate: {maxUnavailable: 2}}")
	held.SetAnnotations(map[string]string{v1beta1.AnnotationHold: BrakeOf(DaemonSet).Hold("r", "RollingUpdate").String()})
	a, _, err := Take(free, contentOf)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := Take(held, contentOf)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Workload) != string(b.Workload) {
		t.Errorf("stored while held: %s\nwant %s", b.Workload, a.Workload)
	}
	if !RollsOut(held) || RollsOut(daemonSet(t, "{type: OnDelete}")) || !RollsOut(free) {
		t.Error("a hold is taken for the user's own OnDelete, or the other way round")
	}
}

func TestRelease(t *testing.T) {
	for name, c := range map[string]struct{ kind, brake, hold, want string }{
		"a Deployment":                            {Deployment, "true", `{"revision":"r","paused":false}`, "false"},
		"a Deployment that was paused":            {Deployment, "true", `{"revision":"r","paused":true}`, "true"},
		"a Deployment's mangled hold":             {Deployment, "true", `mangled`, "false"},
		"a Deployment without a hold":             {Deployment, "true", "", "true"},
		"a DaemonSet":                             {DaemonSet, "OnDelete", `{"revision":"r","paused":false,"strategy":"RollingUpdate"}`, "RollingUpdate"},
		"a DaemonSet that was OnDelete":           {DaemonSet, "OnDelete", `{"revision":"r","paused":false,"strategy":"OnDelete"}`, "OnDelete"},
		"a strategy that this version is new to":  {DaemonSet, "OnDelete", `{"revision":"r","paused":false,"strategy":"Tomorrow"}`, "Tomorrow"},
		"a DaemonSet's mangled hold":              {DaemonSet, "OnDelete", `mangled`, "RollingUpdate"},
		"a hold that does not note the strategy":  {DaemonSet, "OnDelete", `{"revision":"r","paused":false}`, "RollingUpdate"},
		"a DaemonSet with OnDelete of its user's": {DaemonSet, "OnDelete", "", "OnDelete"},
	} {
		t.Run(name, func(t *testing.T) {
			b := BrakeOf(c.kind)
			u := parse(t, "{apiVersion: apps/v1, kind: "+c.kind+", metadata: {name: web}, spec: {}}")
			if b.Read(u) != b.Off {
				t.Errorf("an absent field counts as %v", b.Read(u))
			}
			on := b.On
			if fmt.Sprint(on) != c.brake {
				t.Fatalf("the brake is %v", on)
			}
			if err := unstructured.SetNestedField(u.Object, on, b.Path...); err != nil {
				t.Fatal(err)
			}
			if c.hold != "" {
				u.SetAnnotations(map[string]string{v1beta1.AnnotationHold: c.hold})
			}
			if err := Release(u); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(b.Read(u)); got != c.want || u.GetAnnotations() != nil {
				t.Errorf("released to %s, annotations %v; want %s", got, u.GetAnnotations(), c.want)
			}
		})
	}
}

func TestPrimaryDaemonSetSurges(t *testing.T) {
	for strategy, want := range map[string]string{
		"": "1",
		"{type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}":        "1",
		"{type: RollingUpdate, rollingUpdate: {maxUnavailable: 3, maxSurge: 0}}":        "3",
		"{type: RollingUpdate, rollingUpdate: {maxUnavailable: 20%, maxSurge: 0%}}":     "20%",
		"{type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 2}}":        "2",
		"{type: RollingUpdate, rollingUpdate: {maxUnavailable: 0%, maxSurge: \"50%\"}}": "50%",
		"{type: OnDelete}": "1",
		"{type: OnDelete, rollingUpdate: {maxUnavailable: 4}}": "4",
	} {
		s, _, err := Take(daemonSet(t, strategy), contentOf)
		if err != nil {
			t.Fatal(err)
		}
		p, err := PrimaryObject(s, PrimaryOptions{Canary: testCanary()})
		if err != nil {
			t.Fatal(err)
		}
		got := object(object(p.Object, "spec"), "updateStrategy")
		rolling := object(got, "rollingUpdate")
		if got["type"] != "RollingUpdate" || fmt.Sprint(rolling["maxSurge"]) != want || rolling["maxUnavailable"] != int64(0) {
			t.Errorf("%s: the primary is replaced with %v, want a surge of %s and nothing unavailable", strategy, got, want)
		}
	}
}

func TestRevisionHash(t *testing.T) {
	ds := daemonSet(t, "")
	template, err := TemplateOf(ds)
	if err != nil {
		t.Fatal(err)
	}
	stored := func(edit func(map[string]any)) *unstructured.Unstructured {
		u := parse(t, "{apiVersion: apps/v1, kind: ControllerRevision, metadata: {labels: {controller-revision-hash: abc}}, data: {}}")
		t := object(object(ds.DeepCopy().Object, "spec"), "template")
		t["$patch"] = "replace"
		edit(t)
		u.Object["data"] = map[string]any{"spec": map[string]any{"template": t}}
		return u
	}
	for name, c := range map[string]struct {
		edit func(map[string]any)
		want string
	}{
		"the same template":    {func(map[string]any) {}, "abc"},
		"another template":     {func(t map[string]any) { object(t, "spec")["futureField"] = "x" }, ""},
		"the one without pods": {func(t map[string]any) { object(t, "spec")["nodeSelector"] = map[string]any{ScaleToZeroKey: "true"} }, ""},
	} {
		u := stored(c.edit)
		if got, err := RevisionHash(u, template); got != c.want || err != nil {
			t.Errorf("%s: hash %q, %v; want %q", name, got, err, c.want)
		}
		if object(object(object(u.Object, "data"), "spec"), "template")["$patch"] != "replace" {
			t.Errorf("%s: the object was changed", name)
		}
	}
	snapshot := parse(t, "{apiVersion: apps/v1, kind: ControllerRevision, metadata: {labels: {controller-revision-hash: abc}}, data: {template: {}}}")
	if got, err := RevisionHash(snapshot, template); got != "" || err != nil {
		t.Errorf("something else: hash %q, %v", got, err)
	}
}
