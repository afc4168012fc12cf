package webhook

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// agent builds a DaemonSet from changes to a tracked one on nodes with a disk.
func agent(t *testing.T, changes ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	t.Helper()
	return workload(t, append([]func(*unstructured.Unstructured){
		set("DaemonSet", "kind"), without("spec", "replicas"),
		set(map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxUnavailable": "30%"}}, "spec", "updateStrategy"),
		set("ssd", "spec", "template", "spec", "nodeSelector", "disk"),
	}, changes...)...)
}

func strategy(kind string) func(*unstructured.Unstructured) {
	return set(kind, "spec", "updateStrategy", "type")
}

// heldAgent is held; was is the strategy that the hold records.
func heldAgent(was string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		set(v1beta1.Hold{Revision: "bbbb", Strategy: was}.String(), "metadata", "annotations", v1beta1.AnnotationHold)(u)
		strategy("OnDelete")(u)
	}
}

func idle(u *unstructured.Unstructured) {
	set(revision.ScaleToZeroValue, "spec", "template", "spec", "nodeSelector", revision.ScaleToZeroKey)(u)
}

func TestDecideHoldsDaemonSets(t *testing.T) {
	type change = []func(*unstructured.Unstructured)
	for name, tt := range map[string]struct {
		old, new change
		hold     bool
		// recorded is the strategy in the hold, "" without one; stored that of the object.
		recorded, stored string
	}{
		"a change between rollouts lands":    {new: change{image("2")}, stored: "RollingUpdate"},
		"a change during a rollout is held":  {new: change{image("2")}, hold: true, recorded: "RollingUpdate", stored: "OnDelete"},
		"the user's own OnDelete is noted":   {old: change{strategy("OnDelete")}, new: change{strategy("OnDelete"), image("2")}, hold: true, recorded: "OnDelete", stored: "OnDelete"},
		"a second change renews the hold":    {old: change{heldAgent("RollingUpdate")}, new: change{heldAgent("RollingUpdate"), image("3")}, hold: true, recorded: "RollingUpdate", stored: "OnDelete"},
		"a noted OnDelete outlives a change": {old: change{heldAgent("OnDelete")}, new: change{heldAgent("OnDelete"), image("3")}, hold: true, recorded: "OnDelete", stored: "OnDelete"},
		"a replace with the user's strategy": {old: change{heldAgent("RollingUpdate")}, new: change{replaced}, hold: true, recorded: "RollingUpdate", stored: "OnDelete"},
		"asking for updates does not end a hold": {
			old: change{heldAgent("OnDelete")}, new: change{heldAgent("OnDelete"), strategy("RollingUpdate")}, hold: true, recorded: "RollingUpdate", stored: "OnDelete"},
		"taking the annotation off does not end a hold": {
			old: change{heldAgent("RollingUpdate")}, new: change{strategy("OnDelete")}, hold: true, recorded: "RollingUpdate", stored: "OnDelete"},
		"taking the annotation off ends a hold that nobody needs": {
			old: change{heldAgent("RollingUpdate")}, new: change{strategy("OnDelete")}, stored: "RollingUpdate"},
		"the user's own OnDelete is never released into updates": {
			old: change{heldAgent("OnDelete")}, new: change{strategy("OnDelete")}, stored: "OnDelete"},
		"a strategy that is replaced as a whole": {
			old: change{heldAgent("RollingUpdate")}, new: change{replaced, without("spec", "updateStrategy"), image("2")}, hold: true, recorded: "RollingUpdate", stored: "OnDelete"},
		"a hold that does not parse": {
			old:  change{heldAgent(""), set("mangled", "metadata", "annotations", v1beta1.AnnotationHold)},
			new:  change{heldAgent(""), set("mangled", "metadata", "annotations", v1beta1.AnnotationHold)},
			hold: true, recorded: "RollingUpdate", stored: "OnDelete"},
	} {
		t.Run(name, func(t *testing.T) {
			f := Facts{Operation: admissionv1.Update, Old: agent(t, tt.old...), New: agent(t, tt.new...), Canary: canary("test", "podinfo"), Hold: tt.hold}
			got := after(t, f.New, decide(t, f))
			recorded := ""
			if h := holdOf(got); h != nil {
				recorded = h.Strategy
			}
			if kind, _, _ := unstructured.NestedString(got.Object, "spec", "updateStrategy", "type"); recorded != tt.recorded || kind != tt.stored {
				t.Errorf("hold of %q, strategy %q; want %q and %q", recorded, kind, tt.recorded, tt.stored)
			}
			wanted, _, _ := unstructured.NestedFieldNoCopy(f.New.Object, "spec", "updateStrategy", "rollingUpdate")
			if rolling, _, _ := unstructured.NestedFieldNoCopy(got.Object, "spec", "updateStrategy", "rollingUpdate"); mustJSON(t, rolling) != mustJSON(t, wanted) {
				t.Errorf("rollingUpdate is %v, want the user's %v", rolling, wanted)
			}
			if _, paused, _ := unstructured.NestedFieldNoCopy(got.Object, "spec", "paused"); paused {
				t.Error("a DaemonSet has no pause")
			}
			f.New = got
			if again := decide(t, f); len(again.Patches) > 0 {
				t.Errorf("a second call patches again: %v", again.Patches)
			}
		})
	}
}

// What scales a DaemonSet is no change of its revision, and a manifest that knows nothing of it scales nothing.
func TestDecideKeepsIdleDaemonSetsIdle(t *testing.T) {
	initialised := canary("test", "podinfo")
	initialised.Status.Phase = v1beta1.PhaseSucceeded
	leaving := initialised.DeepCopy()
	leaving.Annotations = map[string]string{v1beta1.AnnotationLeave: "true"}
	none := without("spec", "template", "spec", "nodeSelector")
	for name, tt := range map[string]struct {
		old, new *unstructured.Unstructured
		canary   *v1beta1.Canary
		idle     bool
		change   bool
	}{
		"a replace while idle":                    {agent(t, idle), agent(t, replaced), initialised, true, false},
		"a replace without any selector":          {agent(t, idle), agent(t, replaced, none), initialised, true, true},
		"a change while idle":                     {agent(t, idle), agent(t, replaced, image("2")), initialised, true, true},
		"scaled up by its rollout":                {agent(t), agent(t, image("2")), initialised, false, true},
		"scaled to zero by a person":              {agent(t), agent(t, idle), initialised, true, false},
		"created anew":                            {nil, agent(t, replaced), initialised, true, false},
		"created anew without any selector":       {nil, agent(t, replaced, none), initialised, true, false},
		"created before its primary":              {nil, agent(t, replaced), canary("test", "podinfo"), false, false},
		"its Canary leaves":                       {agent(t, idle), agent(t, replaced), leaving, false, false},
		"its Canary is gone":                      {agent(t, idle), agent(t, replaced), nil, false, false},
		"a Deployment with that selector, though": {workload(t, idle), workload(t), initialised, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := Facts{Operation: admissionv1.Update, Old: tt.old, New: tt.new, Canary: tt.canary}
			if tt.old == nil {
				f.Operation = admissionv1.Create
			}
			out := decide(t, f)
			got := after(t, f.New, out)
			if revision.ScaledToZero(got) != tt.idle || out.Snapshot != tt.change {
				t.Errorf("idle %v, a change %v; want %v and %v: %s", revision.ScaledToZero(got), out.Snapshot, tt.idle, tt.change, mustJSON(t, got))
			}
			if disk, _, _ := unstructured.NestedString(got.Object, "spec", "template", "spec", "nodeSelector", "disk"); !strings.Contains(name, "any") && tt.new.GetKind() == "DaemonSet" && disk != "ssd" {
				t.Error("the user's own selector is gone")
			}
		})
	}
}
