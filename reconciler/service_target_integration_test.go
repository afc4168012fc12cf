//go:build integration

package reconciler

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// behindAService creates Deployments v1, v2 and v3, the Service web that leads to v1, and its Canary.
func (s *stage) behindAService() {
	s.Helper()
	for _, name := range []string{"v1", "v2", "v3"} {
		l := map[string]string{"app": name}
		s.create(&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: appsv1.DeploymentSpec{
				Replicas: new(int32(2)),
				Selector: &metav1.LabelSelector{MatchLabels: l},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: l},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "web:1"}}},
				},
			},
		})
	}
	s.create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"team": "shop"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": "v1"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}, {Name: "admin", Port: 81}},
		},
	})
	s.create(&v1beta1.Canary{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: v1beta1.CanarySpec{
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "v1", Kind: "Service", Name: "web"},
			Service:   v1beta1.CanaryService{Port: 80},
			Analysis: v1beta1.CanaryAnalysis{
				Interval: "1s", Threshold: 2, StepWeight: 50,
				Webhooks: []v1beta1.CanaryWebhook{{Name: "load", URL: "http://load.test/"}},
			},
		},
	})
}

func (s *stage) leadTo(app string) {
	s.Helper()
	change(s, "web", &corev1.Service{}, func(o *corev1.Service) { o.Spec.Selector = map[string]string{"app": app} })
}

// leadsTo returns which application a Service selects.
func (s *stage) leadsTo(service string) string { return s.service(service).Spec.Selector["app"] }

func (s *stage) weighs(weight int) func() bool {
	return func() bool { canary, _ := s.router.at(s.ns); return canary == weight }
}

// own tells whether a copy has what is its own, and what it copies.
func (s *stage) own(copies ...string) {
	s.Helper()
	for _, name := range copies {
		o := s.service(name)
		if o.Spec.Type != corev1.ServiceTypeClusterIP || o.Spec.Ports[0].NodePort != 0 || len(o.Spec.Ports) != 2 || o.Spec.Ports[0].TargetPort.IntValue() != 8080 ||
			o.Spec.ClusterIP == s.service("web").Spec.ClusterIP || !metav1.IsControlledBy(o, s.canary()) {
			s.Errorf("copy %s: %+v", name, o)
		}
	}
}

// From taking a Service over to giving it back: its change is analysed behind a copy, and promoted to the other.
func TestServiceTarget(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.behindAService()
	s.settled(v1beta1.PhaseInitialized)
	s.own("web-primary", "web-canary")
	before := s.service("web")
	if before.Spec.Type != corev1.ServiceTypeNodePort || before.Labels["team"] != "shop" || len(before.OwnerReferences) != 0 {
		t.Errorf("the target was changed: %+v", before)
	}

	s.checks.set(false, "")
	s.leadTo("v2")
	s.until("the canary has half of the users", s.weighs(50))
	if s.leadsTo("web-canary") != "v2" || s.leadsTo("web-primary") != "v1" {
		t.Errorf("the canary leads to %s, the primary to %s", s.leadsTo("web-canary"), s.leadsTo("web-primary"))
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	if s.leadsTo("web-canary") != "v2" || s.leadsTo("web-primary") != "v2" || !s.weighs(0)() {
		t.Errorf("the canary leads to %s, the primary to %s", s.leadsTo("web-canary"), s.leadsTo("web-primary"))
	}
	for _, name := range []string{"v1", "v2", "v3"} {
		if d := s.deployment(name); *d.Spec.Replicas != 2 || len(d.Labels) != 0 {
			t.Errorf("a workload of the user's was touched: %+v", d)
		}
	}

	// What is only of the one Service, or nothing at all, starts no rollout.
	id := s.canary().Status.CurrentRevision
	change(s, "web", &corev1.Service{}, func(o *corev1.Service) { o.Spec.Type, o.Labels["team"] = corev1.ServiceTypeClusterIP, "shop2" })
	s.settled(v1beta1.PhaseSucceeded)
	if st := s.canary().Status; st.CurrentRevision != id || st.Rollout != nil {
		t.Errorf("revision %s, was %s", st.CurrentRevision, id)
	}
	// A copy that somebody edits, or deletes, is put right.
	change(s, "web-primary", &corev1.Service{}, func(o *corev1.Service) { o.Spec.Selector = map[string]string{"app": "v3"} })
	s.until("the primary leads to v2 again", func() bool { return s.leadsTo("web-primary") == "v2" })
	if err := shared.admin.Delete(t.Context(), s.service("web-primary")); err != nil {
		t.Fatal(err)
	}
	s.until("there is a primary again", func() bool { return s.leadsTo("web-primary") == "v2" })
	s.settled(v1beta1.PhaseSucceeded)
}

// What fails leaves users where they were, and a change back is no rollout.
func TestServiceTargetThatFails(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.behindAService()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(true, v1beta1.VerdictFail)
	s.leadTo("v2")
	s.until("the rollout has failed", func() bool { st := s.canary().Status; return st.Phase == v1beta1.PhaseFailed && st.Rollout == nil })
	s.until("both copies lead to v1", func() bool { return s.leadsTo("web-primary") == "v1" && s.leadsTo("web-canary") == "v1" })
	if s.leadsTo("web") != "v2" || !s.weighs(0)() {
		t.Errorf("the target leads to %s", s.leadsTo("web"))
	}
	s.checks.set(true, "")
	s.leadTo("v1")
	s.until("the target is back at the promoted revision", func() bool {
		ready := s.canary().Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "Reverted"
	})
	s.leadTo("v3")
	s.settled(v1beta1.PhaseSucceeded)
	if s.leadsTo("web-primary") != "v3" {
		t.Errorf("the primary leads to %s", s.leadsTo("web-primary"))
	}
}

// A second change midway reaches nobody by the open route: what is behind the canary is what was analysed until all users have left it.
func TestServiceTargetChangedMidway(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.behindAService()
	s.settled(v1beta1.PhaseInitialized)
	var led []string
	s.router.before = func(to core.Split) {
		if to.Canary > 0 {
			led = append(led, s.leadsTo("web-canary"))
		}
	}
	s.checks.set(false, "")
	s.leadTo("v2")
	s.until("the canary has half of the users", s.weighs(50))
	opened := len(s.router.written())
	s.leadTo("v3")
	s.until("users leave the canary", func() bool {
		// The route may be written while the Service is read.
		if to := s.leadsTo("web-canary"); to != "v2" && len(s.router.written()) == opened {
			t.Errorf("users are led to %s, which nobody has analysed", to)
		}
		return len(s.router.written()) > opened
	})
	if weight := s.router.written()[opened]; weight != 0 {
		t.Errorf("users were not taken off the canary, but given %d %%", weight)
	}
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	if s.leadsTo("web-primary") != "v3" || !slices.Equal(led, []string{"v2", "v3", "v3"}) {
		t.Errorf("the primary leads to %s, users were led to %q", s.leadsTo("web-primary"), led)
	}
}

// A controller that knows nothing goes on where another one stopped.
func TestServiceTargetAfterARestart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.behindAService()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(false, "")
	s.leadTo("v2")
	s.until("the canary has half of the users", s.weighs(50))
	s.stop()
	s.start()
	s.checks.set(true, "")
	s.settled(v1beta1.PhaseSucceeded)
	if s.leadsTo("web-primary") != "v2" {
		t.Errorf("the primary leads to %s", s.leadsTo("web-primary"))
	}
}

// Whoever leaves is left with the last good revision, and nothing of Sluice's.
func TestServiceTargetLeaving(t *testing.T) {
	for name, revert := range map[string]bool{"with revertOnDeletion": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.behindAService()
			s.settled(v1beta1.PhaseInitialized)
			change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.RevertOnDeletion = revert })
			s.checks.set(false, "")
			s.leadTo("v2")
			s.until("the canary has half of the users", s.weighs(50))
			if err := shared.admin.Delete(t.Context(), s.canary()); err != nil {
				t.Fatal(err)
			}
			s.until("the Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
			o := s.service("web")
			if o.Spec.Selector["app"] != "v1" || o.Spec.Type != corev1.ServiceTypeNodePort || o.Spec.Ports[0].NodePort == 0 || len(o.Labels) != 1 || len(o.Annotations) != 0 {
				t.Errorf("left with %+v", o)
			}
			if s.get("web-primary", &corev1.Service{}) || s.get("web-canary", &corev1.Service{}) || len(s.snapshots()) != 0 {
				t.Error("something is left behind")
			}
		})
	}
}

// A name of the DNS has no endpoints to wait for, and a Service may turn into one and back.
func TestServiceTargetByName(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.behindAService()
	s.settled(v1beta1.PhaseInitialized)
	change(s, "web", &corev1.Service{}, func(o *corev1.Service) {
		o.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "web.example.com", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}
	})
	s.settled(v1beta1.PhaseSucceeded)
	if o := s.service("web-primary"); o.Spec.ExternalName != "web.example.com" || o.Spec.ClusterIP != "" {
		t.Errorf("primary %+v", o.Spec)
	}
	// Endpoints from before are nothing that the name leads to.
	if err := shared.admin.DeleteAllOf(t.Context(), &discoveryv1.EndpointSlice{}, client.InNamespace(s.ns)); err != nil {
		t.Fatal(err)
	}
	change(s, "web", &corev1.Service{}, func(o *corev1.Service) {
		o.Spec = corev1.ServiceSpec{Selector: map[string]string{"app": "v3"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}
	})
	s.until("the primary leads to v3", func() bool { return s.leadsTo("web-primary") == "v3" })
	s.settled(v1beta1.PhaseSucceeded)
}

// A Service whose endpoints somebody else lists cannot be copied.
func TestServiceTargetWithoutSelector(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	s.create(&v1beta1.Canary{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: v1beta1.CanarySpec{
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "v1", Kind: "Service", Name: "web"}, Service: v1beta1.CanaryService{Port: 80},
			Analysis: v1beta1.CanaryAnalysis{Interval: "1s", Threshold: 2, StepWeight: 50},
		},
	})
	s.until("it is reported", func() bool {
		ready := s.canary().Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "TargetUnsuited"
	})
	if s.get("web-primary", &corev1.Service{}) {
		t.Error("it was copied all the same")
	}
}

// Flagger's copies are taken over as they are; what the Service was changed to since is rolled out.
func TestServiceTargetOfFlagger(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.stop()
	s.behindAService()
	copyOf := func(name, app string) *corev1.Service {
		o := s.service("web").DeepCopy()
		o.ObjectMeta = metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "shop"}}
		o.Spec.ExternalTrafficPolicy = ""
		o.Spec.Type, o.Spec.ClusterIP, o.Spec.ClusterIPs, o.Spec.Selector = corev1.ServiceTypeClusterIP, "", nil, map[string]string{"app": app}
		for i := range o.Spec.Ports {
			o.Spec.Ports[i].NodePort = 0
		}
		return o
	}
	canary := copyOf("web-canary", "v2")
	canary.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(s.canary(), v1beta1.GroupVersion.WithKind(v1beta1.CanaryKind))}
	s.create(canary)
	// After a promotion nobody owns it.
	s.create(copyOf("web-primary", "v1"))
	before := s.service("web-primary")
	c := s.canary()
	c.Status.Phase = v1beta1.PhaseSucceeded
	if err := shared.admin.Status().Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.settled(v1beta1.PhaseSucceeded)
	if o := s.service("web-primary"); o.UID != before.UID || o.Spec.ClusterIP != before.Spec.ClusterIP || o.Spec.Selector["app"] != "v1" || !metav1.IsControlledBy(o, s.canary()) {
		t.Errorf("primary %+v", o)
	}
	if st := s.canary().Status; st.PromotedRevision == "" || st.PromotedRevision != st.CurrentRevision {
		t.Errorf("promoted %q, current %q", st.PromotedRevision, st.CurrentRevision)
	}
	s.leadTo("v2")
	s.until("the primary leads to v2", func() bool { return s.leadsTo("web-primary") == "v2" })
	s.settled(v1beta1.PhaseSucceeded)
}
