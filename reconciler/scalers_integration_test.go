//go:build integration

package reconciler

import (
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/scaler"
)

// horizontal is an HPA of the target.
func horizontal(low, high int32) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "size", Labels: map[string]string{"team": "blue"}},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MinReplicas:    &low, MaxReplicas: high,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: "cpu", Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(70))},
			}}},
		},
	}
}

func (s *stage) hpa(name string) *autoscalingv2.HorizontalPodAutoscaler {
	o := &autoscalingv2.HorizontalPodAutoscaler{}
	if !s.get(name, o) {
		return nil
	}
	return o
}

// scaledApplication is an application of four replicas whose Canary names an autoscaler.
func (s *stage) scaledApplication(ref v1beta1.AutoscalerReference) {
	s.Helper()
	s.application()
	s.scale("web", 4)
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.AutoscalerRef = &ref })
}

// scale does what an autoscaler does.
func (s *stage) scale(deployment string, replicas int32) {
	s.Helper()
	change(s, deployment, &appsv1.Deployment{}, func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
}

func reference(kind, apiVersion string) v1beta1.AutoscalerReference {
	return v1beta1.AutoscalerReference{LocalObjectReference: v1beta1.LocalObjectReference{APIVersion: apiVersion, Kind: kind, Name: "size"}}
}

// The primary gets its own HPA, which follows the user's without a rollout and keeps the primary as large as users need who may come back.
func TestHorizontalPodAutoscaler(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.scaledApplication(reference(scaler.HPA, "autoscaling/v2"))
	s.until("the missing autoscaler is told", func() bool {
		ready := s.canary().Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "ScalerNotFound"
	})
	s.told("ScalerNotFound", "size does not exist")
	s.create(horizontal(1, 6))
	s.settled(v1beta1.PhaseInitialized)
	s.until("the primary has an autoscaler of its own", func() bool { return s.hpa("size-primary") != nil })
	p := s.hpa("size-primary")
	if p.Spec.ScaleTargetRef.Name != "web-primary" || *p.Spec.MinReplicas != 4 || p.Spec.MaxReplicas != 6 || p.Labels["team"] != "blue" ||
		!metav1.IsControlledBy(p, s.canary()) {
		t.Errorf("the primary's autoscaler is %+v of %v, with %v", p.Spec, p.OwnerReferences, p.Labels)
	}
	if st := s.canary().Status.Scaler; st == nil || st.Floor != 4 || st.FloorUntil == nil {
		t.Errorf("users have just come to the primary, and the floor is %+v", st)
	}

	change(s, "size", &autoscalingv2.HorizontalPodAutoscaler{}, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Spec.MaxReplicas, h.Spec.Metrics[0].Resource.Target.AverageUtilization = 9, new(int32(55))
	})
	s.until("an edit reaches the primary's", func() bool {
		h := s.hpa("size-primary")
		return h.Spec.MaxReplicas == 9 && *h.Spec.Metrics[0].Resource.Target.AverageUtilization == 55
	})
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) {
		c.Spec.AutoscalerRef.PrimaryScalerReplicas = &v1beta1.ScalerReplicas{MaxReplicas: new(int32(7))}
	})
	s.until("so does an edit of the Canary", func() bool { return s.hpa("size-primary").Spec.MaxReplicas == 7 })
	s.settled(v1beta1.PhaseInitialized)

	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("half of the users are on the canary", func() bool { w, _ := s.router.at(s.ns); return w == 50 })
	if n := *s.deployment("web").Spec.Replicas; n != 2 {
		t.Errorf("the canary began with %d pods for half of the users of 4", n)
	}
	s.scale("web-primary", 1)
	s.until("the primary is as large again as they need who may come back", func() bool { return *s.deployment("web-primary").Spec.Replicas == 4 })
	if low := *s.hpa("size-primary").Spec.MinReplicas; low != 4 {
		t.Errorf("the primary's autoscaler may go down to %d", low)
	}
	if n := *s.deployment("web").Spec.Replicas; n != 2 {
		t.Errorf("the canary has %d pods for half of the users of 4", n)
	}
	s.checks.set(true, v1beta1.VerdictPass)
	s.settled(v1beta1.PhaseSucceeded)
	if n := *s.deployment("web").Spec.Replicas; n != 0 {
		t.Errorf("the target has %d replicas after the promotion", n)
	}

	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.AutoscalerRef = nil })
	s.until("the primary's autoscaler goes with the reference", func() bool { return s.hpa("size-primary") == nil })
	s.until("the user's has no mark left", func() bool { return s.hpa("size").Labels[v1beta1.LabelTracked] == "" })
	s.until("nothing is noted of it", func() bool { return s.canary().Status.Scaler == nil })
	ref := reference(scaler.HPA, "autoscaling/v2")
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) { c.Spec.AutoscalerRef = &ref })
	s.until("and comes back with it", func() bool { return s.hpa("size-primary") != nil })
	if err := shared.admin.Delete(t.Context(), s.canary()); err != nil {
		t.Fatal(err)
	}
	s.until("the Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
	if s.hpa("size-primary") != nil || s.hpa("size").Labels[v1beta1.LabelTracked] != "" || s.hpa("size").Labels["team"] != "blue" {
		t.Errorf("left behind: %v, and on the user's %v", s.hpa("size-primary"), s.hpa("size").Labels)
	}
}

// An autoscaler that has the name of the primary's but belongs to somebody else is told of and left alone.
func TestScalerOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	theirs := horizontal(3, 3)
	theirs.Name = "size-primary"
	s.create(theirs)
	s.create(horizontal(1, 6))
	s.scaledApplication(reference(scaler.HPA, "autoscaling/v2"))
	s.told("ScalerConflict", "size-primary exists but belongs to nobody that Sluice knows")
	if s.deployment("web-primary").Name != "" || *s.deployment("web").Spec.Replicas != 4 {
		t.Error("the application was taken over though its primary would not scale")
	}
	if h := s.hpa("size-primary"); h.Spec.ScaleTargetRef.Name != "web" || *h.Spec.MinReplicas != 3 || len(h.OwnerReferences) > 0 {
		t.Errorf("it was written over: %+v", h)
	}
	if err := shared.admin.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	s.settled(v1beta1.PhaseInitialized)
	if err := shared.admin.Delete(t.Context(), s.hpa("size-primary")); err != nil {
		t.Fatal(err)
	}
	s.until("the primary's autoscaler is made again", func() bool { return s.hpa("size-primary") != nil })
	change(s, "size-primary", &autoscalingv2.HorizontalPodAutoscaler{}, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Labels, h.OwnerReferences = nil, nil
	})
	s.until("one that somebody took away is told of", func() bool {
		ready := s.canary().Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "ScalerConflict"
	})
	if err := shared.admin.Delete(t.Context(), s.canary()); err != nil {
		t.Fatal(err)
	}
	s.until("the Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
	if s.hpa("size-primary") == nil {
		t.Error("what belongs to somebody else was deleted with the Canary")
	}
}

const scaledObject = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: size, annotations: {team: blue}}
spec:
  scaleTargetRef: {name: web}
  minReplicaCount: 1
  maxReplicaCount: 6
  triggers: [{type: prometheus, name: requests, metadata: {query: 'sum(rate(http_requests{app="web"}[1m]))'}}]
`

func (s *stage) scaledObject(name string) *unstructured.Unstructured {
	k, _ := scaler.Of(scaler.ScaledObject)
	u := scaler.Empty(k)
	if !s.get(name, u) {
		return nil
	}
	return u
}

func (s *stage) decode(text string) *unstructured.Unstructured {
	s.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		s.Fatal(err)
	}
	return u
}

const pausedAt = "autoscaling.keda.sh/paused-replicas"

func (s *stage) paused(name string) string {
	o := s.scaledObject(name)
	if o == nil {
		return "absent"
	}
	return o.GetAnnotations()[pausedAt]
}

// A ScaledObject sleeps while its target is idle and is awake during a rollout, its user's own pause comes back, and the primary's copy is never
// paused. KEDA may come after the Canary.
func TestScaledObject(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.scaledApplication(reference(scaler.ScaledObject, "keda.sh/v1alpha1"))
	s.told("ScalerUnavailable", "does not know ScaledObject")
	raw, err := os.ReadFile("testdata/scaledobjects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	crd := s.decode(string(raw))
	if err := shared.admin.Create(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	so := s.decode(scaledObject)
	so.SetNamespace(s.ns)
	so.SetAnnotations(map[string]string{pausedAt: "3", "team": "blue"})
	s.until("KEDA's kind is served", func() bool { return shared.admin.Create(t.Context(), so) == nil })
	s.until("the target's sleeps", func() bool { return s.paused("size") == "0" })
	s.until("the primary has one of its own", func() bool { return s.scaledObject("size-primary") != nil })
	s.settled(v1beta1.PhaseInitialized)
	p := s.scaledObject("size-primary")
	if a := p.GetAnnotations(); a[pausedAt] != "" || a[v1beta1.AnnotationScalerPaused] != "" || a["team"] != "blue" {
		t.Errorf("the primary's has the annotations %v", a)
	}
	if name, _, _ := unstructured.NestedString(p.Object, "spec", "scaleTargetRef", "name"); name != "web-primary" {
		t.Errorf("the primary's scales %s", name)
	}
	triggers, _, _ := unstructured.NestedSlice(p.Object, "spec", "triggers")
	if q, _, _ := unstructured.NestedString(triggers[0].(map[string]any), "metadata", "query"); q != `sum(rate(http_requests{app="web-primary"}[1m]))` {
		t.Errorf("the primary's asks %s", q)
	}

	change(s, "size", s.empty(), func(o *unstructured.Unstructured) {
		if err := unstructured.SetNestedField(o.Object, int64(9), "spec", "maxReplicaCount"); err != nil {
			t.Fatal(err)
		}
	})
	s.until("an edit reaches the primary's", func() bool {
		n, _, _ := unstructured.NestedInt64(s.scaledObject("size-primary").Object, "spec", "maxReplicaCount")
		return n == 9
	})

	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("half of the users are on the canary", func() bool { w, _ := s.router.at(s.ns); return w == 50 })
	if got := s.paused("size"); got != "3" {
		t.Errorf("during a rollout it is paused at %q, and not as its user wants", got)
	}
	s.checks.set(true, v1beta1.VerdictFail)
	s.until("the rollout has failed", func() bool {
		c := s.canary()
		return c.Status.Phase == v1beta1.PhaseFailed && c.Status.Rollout == nil
	})
	s.until("the target's sleeps again", func() bool { return s.paused("size") == "0" })
	if got := s.paused("size-primary"); got != "" {
		t.Errorf("the primary's is paused at %s", got)
	}

	if err := shared.admin.Delete(t.Context(), s.canary()); err != nil {
		t.Fatal(err)
	}
	s.until("the Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
	o := s.scaledObject("size")
	if a := o.GetAnnotations(); a[pausedAt] != "3" || a[v1beta1.AnnotationScalerPaused] != "" || o.GetLabels()[v1beta1.LabelTracked] != "" {
		t.Errorf("it is given back with %v, %v", a, o.GetLabels())
	}
	if s.scaledObject("size-primary") != nil {
		t.Error("the primary's is left behind")
	}
}

func (s *stage) empty() *unstructured.Unstructured {
	k, _ := scaler.Of(scaler.ScaledObject)
	return scaler.Empty(k)
}
