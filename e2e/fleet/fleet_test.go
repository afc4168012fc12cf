package fleet

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// good is a run without fault.
func good() *result {
	r := &result{canaries: 2, watches: 10, idle: phase{lasted: time.Minute, requests: harness.Requests{Leases: 60, Watches: 10}}}
	for _, name := range []string{"a", "a", "b"} {
		r.rollouts = append(r.rollouts, outcome{name: name, phase: v1beta1.PhaseSucceeded, promoted: true, current: true})
	}
	return r
}

func TestJudge(t *testing.T) {
	if problems := good().judge(); len(problems) > 0 {
		t.Errorf("%q", problems)
	}
	for want, change := range map[string]func(*result){
		"2 rollouts have ended, want 3": func(r *result) { r.rollouts = r.rollouts[1:] },
		"b: phase Failed":               func(r *result) { r.rollouts[2].phase = v1beta1.PhaseFailed },
		"1 failed checks":               func(r *result) { r.rollouts[0].failed = 1 },
		"promoted false":                func(r *result) { r.rollouts[1].promoted = false },
		"of the current revision false": func(r *result) { r.rollouts[1].current = false },
		"1 calls failed open":           func(r *result) { r.admissions.FailedOpen = 1 },
		"2 closed":                      func(r *result) { r.admissions.FailedClosed = 2 },
		"3 broke":                       func(r *result) { r.admissions.Broken = 3 },
		"1 requests of Sluice":          func(r *result) { r.idle.requests.Other = 1 },
		"no watch of Sluice":            func(r *result) { r.watches, r.idle.requests.Watches = 0, 0 },
		"11 watches opened":             func(r *result) { r.idle.requests.Watches = 11 },
		"200 requests for the lease":    func(r *result) { r.idle.requests.Leases = 200 },
	} {
		r := good()
		change(r)
		if problems := r.judge(); len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%q, want one with %q", problems, want)
		}
	}
}

func TestRenderShowsRatiosAgainstWhatTheyAreOf(t *testing.T) {
	r := good()
	r.podsStart.spans.whole, r.initialise.spans.whole = 4*time.Second, 9*time.Second
	r.podsRollOne.spans.whole, r.one.spans.whole, r.all.spans.whole = 2*time.Second, 40*time.Second, 50*time.Second
	r.all.requests.Other, r.podsRollAll.spans.whole = 30, 45*time.Second
	r.lifecycle, r.speed.figures = v1beta1.LifecycleEphemeral, []figure{{"its first pod is there", 4 * time.Second}}
	text := r.render()
	for _, want := range []string{"| 9.0 s | their pods without Canaries: 4.0 s | +5.0 s |", "32.0 s | 1.25 | 1.1 |", "| 50.0 s | one alone: 40.0 s; rolling updates of all without Canaries: 45.0 s | 1.25 | 1.2 |", "without Canaries: 85.0 s | 0.59 | |", "| 15.0 |",
		"2 Canaries, lifecycle Ephemeral", "| its first pod is there | 4.00 s |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestSpans(t *testing.T) {
	begun := time.Unix(100, 0)
	after := func(s int) time.Time { return begun.Add(time.Duration(s) * time.Second) }
	s := spansFrom(begun, map[string]time.Time{"a": after(1), "b": after(2)}, map[string]time.Time{"a": after(4), "b": after(9), "c": after(5)})
	if s.whole != 9*time.Second || s.median() != 5*time.Second || s.longest() != 7*time.Second {
		t.Errorf("whole %s, median %s, longest %s", s.whole, s.median(), s.longest())
	}
	if none := spansFrom(begun, nil, nil); none.whole != 0 || none.median() != 0 || none.longest() != 0 {
		t.Errorf("%+v of nothing", none)
	}
}

func TestWaitCountsEachOnceAndSaysWhoIsMissing(t *testing.T) {
	w := wait{is: rolledOut, how: map[string]string{"a": "", "b": "not there"}, done: map[string]time.Time{}}
	app := func(name string, available int32) *appsv1.Deployment {
		d := newApp(name)
		d.Generation, d.Status = 2, appsv1.DeploymentStatus{ObservedGeneration: 2, UpdatedReplicas: replicas, Replicas: replicas, AvailableReplicas: available}
		return d
	}
	w.see(app("other", replicas), time.Unix(1, 0))
	w.see(app("a", 1), time.Unix(2, 0))
	if got := w.missing(); !strings.Contains(got, "0 are, 2 are not") || !strings.Contains(got, "a: 2 of 2 pods are new, 1 available") {
		t.Errorf("%s", got)
	}
	w.see(app("a", replicas), time.Unix(3, 0))
	w.see(app("a", replicas), time.Unix(4, 0))
	if len(w.done) != 1 || !w.done["a"].Equal(time.Unix(3, 0)) || len(w.how) != 1 {
		t.Errorf("done %v, missing %v", w.done, w.how)
	}
}

func TestRolledOutWantsTheNewPodsAndNoOthers(t *testing.T) {
	for name, change := range map[string]func(*appsv1.Deployment){
		"seen before":  func(d *appsv1.Deployment) { d.Generation++ },
		"an old pod":   func(d *appsv1.Deployment) { d.Status.Replicas++ },
		"not all new":  func(d *appsv1.Deployment) { d.Status.UpdatedReplicas-- },
		"not all come": func(d *appsv1.Deployment) { d.Status.AvailableReplicas-- },
	} {
		d := newApp("a")
		d.Status = appsv1.DeploymentStatus{UpdatedReplicas: replicas, Replicas: replicas, AvailableReplicas: replicas}
		if done, how := rolledOut(d); !done {
			t.Fatalf("%s", how)
		}
		change(d)
		if done, how := rolledOut(d); done {
			t.Errorf("%s: taken for rolled out: %s", name, how)
		}
	}
}

// A Canary shows the end of its last rollout until the next one is noticed.
func TestPromotedIsAnotherRevisionThanBefore(t *testing.T) {
	is := promoted(map[string]string{"a": "old"})
	c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	c.Status.Phase, c.Status.PromotedRevision = v1beta1.PhaseSucceeded, "old"
	if done, _ := is(c); done {
		t.Error("the rollout before is taken for this one")
	}
	c.Status.PromotedRevision = "new"
	if done, _ := is(c); !done {
		t.Error("a promoted revision is not seen")
	}
	c.Status.Phase, c.Status.PromotedRevision = v1beta1.PhaseFailed, "old"
	if done, _ := is(c); !done {
		t.Error("a failed rollout is waited for")
	}
	got := outcomes(map[string]string{"a": "old"}, []string{"a"}, []v1beta1.Canary{*c, {}})
	if want := (outcome{name: "a", phase: v1beta1.PhaseFailed}); len(got) != 1 || got[0].name != want.name || got[0].promoted {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNodeReadyHasNoTaintButItsOwn(t *testing.T) {
	node := newNode()
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if done, how := nodeReady(node); !done {
		t.Error(how)
	}
	node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady})
	if done, how := nodeReady(node); done || !strings.Contains(how, corev1.TaintNodeNotReady) {
		t.Errorf("ready with a taint: %s", how)
	}
}

// Pods of the applications go to the played node, and no others do.
func TestAppsTolerateThePlayedNodeAndChooseIt(t *testing.T) {
	spec, node := newApp("a").Spec.Template.Spec, newNode()
	for key, value := range spec.NodeSelector {
		if node.Labels[key] != value {
			t.Errorf("the node has no label %s=%s", key, value)
		}
	}
	for _, taint := range node.Spec.Taints {
		if !slices.ContainsFunc(spec.Tolerations, func(o corev1.Toleration) bool { return o.Key == taint.Key }) {
			t.Errorf("the taint %s is not tolerated", taint.Key)
		}
	}
}

func TestEachCallsForAllAndReturnsAnError(t *testing.T) {
	var called atomic.Int64
	err := each(names(50), func(name string) error {
		called.Add(1)
		if name == "app-007" {
			return fmt.Errorf("%s refused", name)
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "app-007") || called.Load() != 50 {
		t.Errorf("%v after %d calls", err, called.Load())
	}
	if err := each(names(3), func(string) error { return nil }); err != nil {
		t.Error(err)
	}
}

// What is waited for after a change is not what was there before it.
func TestStatesOfOneCanary(t *testing.T) {
	c := &v1beta1.Canary{Spec: v1beta1.CanarySpec{Primary: &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral}}}
	c.Status.TargetServes, c.Status.PromotedRevision, c.Status.CurrentRevision = true, "good", "good"
	c.Status.Conditions = []v1beta1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue}}
	expect := func(when string, noticed, analysed, served, rested bool) {
		t.Helper()
		for what, is := range map[string]struct {
			state
			want bool
		}{
			"noticed": {notices("good"), noticed}, "analysed": {analyses("good"), analysed}, "served": {serves("good"), served}, "at rest": {rests("good"), rested},
		} {
			if got, how := is.state(c); got != is.want {
				t.Errorf("%s: %s %t, want %t: %s", when, what, got, is.want, how)
			}
		}
	}
	expect("before", false, false, true, true)
	c.Status.CurrentRevision, c.Status.Rollout = "bad", &v1beta1.RolloutStatus{Revision: "bad", Stage: v1beta1.StageTurning}
	expect("noticed", true, false, true, false)
	c.Status.TargetServes, c.Status.Rollout.Stage = false, v1beta1.StageAnalysing
	expect("analysed", true, true, true, false)
	c.Status.TargetServes, c.Status.Rollout, c.Status.PromotedRevision = true, nil, "bad"
	expect("promoted", true, false, false, false)
	c.Status.TargetServes, c.Status.PromotedRevision, c.Status.CurrentRevision = false, "good", "good"
	expect("back, away from home", false, false, true, false)
}

func TestStartsWithAPodOfTheVersion(t *testing.T) {
	d := newApp("a")
	d.Spec.Template.Annotations = map[string]string{versionAnnotation: "2"}
	d.Generation, d.Status = 2, appsv1.DeploymentStatus{ObservedGeneration: 1, UpdatedReplicas: 2}
	if done, _ := starts("2")(d); done {
		t.Error("pods of the version before are taken for new ones")
	}
	d.Status.ObservedGeneration = 2
	if done, _ := starts("2")(d); !done {
		t.Error("a new pod is not seen")
	}
	if done, _ := starts("3")(d); done {
		t.Error("a pod of another version counts")
	}
}
