//go:build integration

package reconciler

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

func TestInitialise(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)

	c, target, primary := s.canary(), s.deployment("web"), s.deployment("web-primary")
	if !controllerutil.ContainsFinalizer(c, v1beta1.Finalizer) {
		t.Error("deleting the Canary would leave the application without pods: no finalizer")
	}
	if *target.Spec.Replicas != 0 || target.Labels[v1beta1.LabelTracked] != v1beta1.TrackedTarget {
		t.Errorf("target: %d replicas, labels %v", *target.Spec.Replicas, target.Labels)
	}
	if *primary.Spec.Replicas != 2 || !metav1.IsControlledBy(primary, c) || primary.Spec.Selector.MatchLabels["app"] != "web-primary" {
		t.Errorf("primary: %d replicas, owners %v, selector %v", *primary.Spec.Replicas, primary.OwnerReferences, primary.Spec.Selector)
	}
	stored := s.snapshots()
	if len(stored) != 1 || stored[0].Promoted.IsZero() || stored[0].Digest != c.Status.PromotedRevision {
		t.Fatalf("snapshots %+v, want one, marked as promoted", stored)
	}
	for i, from := range primary.Spec.Template.Spec.Containers[0].EnvFrom {
		name := stored[0].Configs[i].Copy
		if (from.ConfigMapRef != nil && from.ConfigMapRef.Name != name) || (from.SecretRef != nil && from.SecretRef.Name != name) {
			t.Errorf("the primary reads %+v, want the copy %s", from, name)
		}
	}
	var settings corev1.ConfigMap
	if !s.get(stored[0].Configs[0].Copy, &settings) || settings.Data["colour"] != "blue" || !*settings.Immutable {
		t.Errorf("copy %+v", settings)
	}
	var original corev1.ConfigMap
	if s.get("settings", &original); original.Labels[v1beta1.LabelTracked] != v1beta1.TrackedConfig {
		t.Errorf("a change of the ConfigMap goes unnoticed, labels %v", original.Labels)
	}
	for name, want := range map[string]string{"web": "web-primary", "web-primary": "web-primary", "web-canary": "web"} {
		svc := s.service(name)
		if svc.Spec.Selector["app"] != want || len(svc.Spec.Selector) != 1 || svc.Spec.Ports[0].TargetPort.IntValue() != 8080 {
			t.Errorf("Service %s: %+v", name, svc.Spec)
		}
	}
}

func TestIdleCostsNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.followed()
	// What was left to tell may be on its way for a moment.
	s.until("5 decisions on an idle Canary cost no request", func() bool {
		before := s.canary().ResourceVersion
		requests := s.requests.Load()
		for range 5 {
			if res, err := s.sluice.Reconcile(t.Context(), ctrl.Request{NamespacedName: s.key("web")}); err != nil || res.RequeueAfter != 0 {
				t.Fatalf("an idle Canary: %+v, %v", res, err)
			}
		}
		return s.requests.Load() == requests && s.canary().ResourceVersion == before
	})
	// A new Sluice finds everything as it is.
	s.stop()
	versions := s.versions()
	s.start()
	s.settled(v1beta1.PhaseInitialized)
	if got := s.versions(); !slices.Equal(got, versions) {
		t.Errorf("a restart changed objects\n before %v\n after %v", versions, got)
	}
}

// versions returns the names and versions of all objects that Sluice could have written.
func (s *stage) versions() []string {
	s.Helper()
	var out []string
	for _, list := range []client.ObjectList{
		&v1beta1.CanaryList{}, &appsv1.DeploymentList{}, &appsv1.DaemonSetList{}, &appsv1.ControllerRevisionList{}, &corev1.ServiceList{}, &corev1.ConfigMapList{}, &corev1.SecretList{},
	} {
		if err := shared.admin.List(s.Context(), list, client.InNamespace(s.ns)); err != nil {
			s.Fatal(err)
		}
		for _, o := range objectsOf(s, list) {
			out = append(out, kindOf(o)+" "+o.GetName()+" "+o.GetResourceVersion())
		}
	}
	return out
}

func TestPromotion(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)

	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	ro := s.canary().Status.Rollout
	if got := s.service("web-canary").Spec.Selector[revision.PodHashLabel]; got == "" || got != ro.PodHash {
		t.Errorf("the canary Service selects hash %q, want %q: pods of any other revision could get traffic", got, ro.PodHash)
	}
	if s.image("web-primary") != "web:1" {
		t.Error("the primary changed before the analysis ended")
	}

	// Killed in the middle: a new Sluice goes on where the old one was.
	s.stop()
	s.start()
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	if s.image("web-primary") != "web:2" {
		t.Errorf("the primary runs %s", s.image("web-primary"))
	}
	if d := s.deployment("web"); *d.Spec.Replicas != 0 {
		t.Errorf("the target keeps %d replicas", *d.Spec.Replicas)
	}
	if _, pinned := s.service("web-canary").Spec.Selector[revision.PodHashLabel]; pinned {
		t.Error("the canary Service is still pinned")
	}
	stored := s.snapshots()
	marked := 0
	for _, st := range stored {
		if !st.Promoted.IsZero() {
			marked++
		}
	}
	if p := revision.Promoted(stored); len(stored) != 2 || marked != 1 || !strings.Contains(string(p.Template), "web:2") {
		t.Errorf("%d snapshots, %d marked, promoted %+v; want 2 and the new one alone marked", len(stored), marked, p)
	}
	if got, want := s.router.written(), []int{0, 50, 100, 0}; !slices.Equal(got, want) {
		t.Errorf("weights %v, want %v", got, want)
	}
}

func TestRollbackAndFix(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(true, v1beta1.VerdictFail)
	// The ConfigMap alone changes: that is a new revision too.
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["colour"] = "red" })
	s.until("the rollout failed and is over", func() bool {
		st := s.canary().Status
		return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil
	})
	if d := s.deployment("web"); *d.Spec.Replicas != 0 {
		t.Errorf("the target keeps %d replicas", *d.Spec.Replicas)
	}
	copyName := s.deployment("web-primary").Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name
	var serving corev1.ConfigMap
	if !s.get(copyName, &serving) || serving.Data["colour"] != "blue" {
		t.Errorf("the primary reads %s with %v", copyName, serving.Data)
	}

	s.checks.set(true, v1beta1.VerdictPass)
	change(s, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["colour"] = "green" })
	s.settled(v1beta1.PhaseSucceeded)
	copyName = s.deployment("web-primary").Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name
	if !s.get(copyName, &serving) || serving.Data["colour"] != "green" {
		t.Errorf("after the fix the primary reads %s with %v", copyName, serving.Data)
	}
}

func TestDeletedPrimaryComesBackFromItsSnapshot(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })
	old := s.deployment("web-primary")
	if err := shared.admin.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	s.until("the primary is back", func() bool {
		d := s.deployment("web-primary")
		return d.UID != "" && d.UID != old.UID
	})
	if got := s.deployment("web-primary"); s.image("web-primary") != "web:1" || *got.Spec.Replicas != 2 {
		t.Errorf("the primary came back with %s and %d replicas, want web:1 and 2", s.image("web-primary"), *got.Spec.Replicas)
	}
}

func TestDriftOfThePrimaryIsRepaired(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "web-primary", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "evil:1"
		d.Annotations["others"] = "keep"
		d.Spec.Replicas = new(int32(5))
	})
	s.until("the primary runs its revision again", func() bool { return s.image("web-primary") == "web:1" })
	if d := s.deployment("web-primary"); d.Annotations["others"] != "keep" || *d.Spec.Replicas != 5 {
		t.Errorf("what others may set was overwritten: annotations %v, %d replicas", d.Annotations, *d.Spec.Replicas)
	}
	change(s, "web", &corev1.Service{}, func(v *corev1.Service) { v.Spec.Selector = map[string]string{"app": "web"} })
	s.until("the apex Service leads to the primary again", func() bool { return s.service("web").Spec.Selector["app"] == "web-primary" })
}

func TestDeletingTheCanaryGivesTheApplicationBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	// The user's own Service, with a selector of their own.
	own := map[string]string{"app": "web"}
	s.create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"mine": "yes"}},
		Spec:       corev1.ServiceSpec{Selector: own, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	})
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	if got := s.service("web"); got.Spec.Selector["app"] != "web-primary" || got.Labels["mine"] != "yes" || len(got.OwnerReferences) != 0 {
		t.Fatalf("taken over: %+v %+v", got.ObjectMeta, got.Spec.Selector)
	}
	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("the canary is at 50 %", func() bool { return s.canary().Status.CanaryWeight == 50 })

	if err := shared.admin.Delete(t.Context(), s.canary()); err != nil {
		t.Fatal(err)
	}
	s.until("the Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
	target := s.deployment("web")
	if s.image("web") != "web:1" || *target.Spec.Replicas != 2 || target.Labels[v1beta1.LabelTracked] != "" {
		t.Errorf("target: %s, %d replicas, labels %v", s.image("web"), *target.Spec.Replicas, target.Labels)
	}
	apex := s.service("web")
	if apex.Spec.Selector["app"] != "web" || apex.Labels["mine"] != "yes" || apex.Labels[v1beta1.LabelCanary] != "" || len(apex.Annotations) != 0 {
		t.Errorf("apex Service: %+v %+v", apex.ObjectMeta, apex.Spec.Selector)
	}
	for _, v := range s.versions() {
		if strings.Contains(v, "-primary") || strings.Contains(v, "-canary") || strings.Contains(v, "-sluice-") {
			t.Errorf("left behind: %s", v)
		}
	}
	var settings corev1.ConfigMap
	if s.get("settings", &settings); settings.Labels[v1beta1.LabelTracked] != "" {
		t.Errorf("the ConfigMap keeps its labels: %v", settings.Labels)
	}
}

func TestLeavingOnRequestAndComingBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Annotations = map[string]string{v1beta1.AnnotationLeave: "true"} })
	s.until("the Canary is given back", func() bool { return givenBack(s.canary()) })
	if d := s.deployment("web"); *d.Spec.Replicas != 2 || s.get("web-primary", &appsv1.Deployment{}) {
		t.Errorf("the target has %d replicas, or the primary is still there", *d.Spec.Replicas)
	}
	if apex := s.service("web"); apex.Spec.Selector["app"] != "web" || len(apex.OwnerReferences) != 0 {
		t.Errorf("apex Service: %+v %+v", apex.ObjectMeta, apex.Spec.Selector)
	}
	versions := s.versions()
	s.stop()
	s.start()
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Annotations = nil })
	s.settled(v1beta1.PhaseInitialized)
	if slices.Equal(versions, s.versions()) {
		t.Error("the Canary was not taken up again")
	}
}

func TestWhatIsMissingIsReportedAndPickedUp(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.create(&v1beta1.Canary{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: v1beta1.CanarySpec{
			Provider:  "istio",
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			Service:   v1beta1.CanaryService{Port: 80},
			Analysis:  v1beta1.CanaryAnalysis{Interval: "1s", Threshold: 1, StepWeight: 50},
		},
	})
	says := func(reason, text string) {
		t.Helper()
		s.until("status says "+reason, func() bool {
			c := s.canary().Status.Condition(v1beta1.ConditionReady)
			return c != nil && c.Reason == reason && strings.Contains(c.Message, text)
		})
	}
	says("ProviderUnknown", "gatewayapi:v1")
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.Provider = "" })
	says("TargetNotFound", "Deployment web")
	l := map[string]string{"app": "web"}
	s.create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)),
			Selector: &metav1.LabelSelector{MatchLabels: l},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: l}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "main", Image: "web:1", EnvFrom: []corev1.EnvFromSource{
					{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}}},
				}}},
			}},
		},
	})
	says("RevisionUnreadable", "")
	s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late"}})
	s.settled(v1beta1.PhaseInitialized)
}

func TestForeignObjectsAreNotTakenOver(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web-canary"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}})
	s.application()
	s.until("the conflict is reported", func() bool {
		c := s.canary().Status.Condition(v1beta1.ConditionReady)
		return c != nil && c.Reason == "ServiceConflict"
	})
	if d := s.deployment("web"); *d.Spec.Replicas != 2 {
		t.Errorf("the target was scaled to %d although nothing else serves", *d.Spec.Replicas)
	}
	if got := s.service("web-canary"); got.Spec.Ports[0].Port != 1 || len(got.OwnerReferences) != 0 {
		t.Errorf("somebody's Service was changed: %+v", got)
	}
}

func TestHoldIsReleased(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "web:2"
		d.Spec.Paused = true
		d.Annotations = with(d.Annotations, map[string]string{v1beta1.AnnotationHold: v1beta1.Hold{Revision: "x"}.String()})
	})
	s.settled(v1beta1.PhaseSucceeded)
	if d := s.deployment("web"); d.Spec.Paused || d.Annotations[v1beta1.AnnotationHold] != "" {
		t.Errorf("the hold is still there: paused %v, %v", d.Spec.Paused, d.Annotations)
	}
}
