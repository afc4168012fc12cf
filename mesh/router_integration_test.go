//go:build integration

package mesh

import (
	"context"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Each golden situation is written to a real API server with the real CRD: it must be stored as rendered, defaults included, and a second pass must
// find nothing to do.
func TestSituationsOnAnAPIServer(t *testing.T) {
	for _, g := range gatewayGoldens() {
		if g.leave {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			s := newStage(t)
			in := readSituation(t, g.provider, g.name)
			in.canary.Namespace = s.canary.Namespace
			s.canary = in.canary
			if in.live != nil {
				unstructured.RemoveNestedField(in.live.Object, "status")
				s.create(in.live, "hand")
			}
			changed, err := s.router.Write(t.Context(), s.canary, g.intent)
			if err != nil || !changed {
				t.Fatalf("changed %v, %v", changed, err)
			}
			got := s.synced()
			if got.Primary != g.intent.Primary || got.Canary != g.intent.Canary {
				t.Errorf("wrote %+v, read %+v", g.intent, got)
			}
			s.settled(g.intent)
			want := readWant(t, g.provider, g.name)
			live := s.live()
			if !equal(live.Object["spec"], want.Object["spec"]) {
				t.Errorf("stored otherwise than rendered:\n%s", toYAML(t, live.Object["spec"]))
			}
			if !equal(live.GetLabels(), want.GetLabels()) || !equal(live.GetAnnotations(), want.GetAnnotations()) ||
				!equal(live.GetOwnerReferences(), want.GetOwnerReferences()) {
				t.Errorf("metadata: %s", toYAML(t, live.Object["metadata"]))
			}
		})
	}
}

// readWant is the golden of a situation without what the CRD prunes.
func readWant(t *testing.T, provider, name string) *unstructured.Unstructured {
	t.Helper()
	want := parse(t, readFile(t, "testdata/"+provider+"/"+name+".want.yaml"))
	rules, _, _ := unstructured.NestedFieldNoCopy(want.Object, "spec", "rules")
	for _, rule := range mapsIn(rules) {
		delete(rule, "fieldOfTheFuture")
	}
	return want
}

// The life of a route: created with an owner, accepted by its gateway, moved, waited for again.
func TestLifeOfARoute(t *testing.T) {
	s := newStage(t)
	if route, err := s.router.Read(t.Context(), s.canary); err != nil || route != (core.Route{}) {
		t.Fatalf("before: %+v, %v", route, err)
	}
	route := s.write(100, 0)
	if !route.Exists || route.Accepted || !strings.Contains(route.Problem, "has not answered") {
		t.Errorf("created: %+v", route)
	}
	if refs := s.live().GetOwnerReferences(); len(refs) != 1 || refs[0].UID != s.canary.UID || refs[0].Controller == nil || !*refs[0].Controller {
		t.Errorf("owners: %+v", refs)
	}
	s.answer()
	if route = s.synced(); !route.Accepted || route.Problem != "" || route.Primary != 100 || route.Canary != 0 {
		t.Errorf("accepted: %+v", route)
	}
	s.settled(core.RouteIntent{Split: core.Split{Primary: 100}, Version: route.Version})
	// What a gateway answers meanwhile does not stand in the way of what was decided.
	s.answer()
	s.synced()
	if _, err := s.router.Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 70, Canary: 30}, Version: route.Version}); err != nil {
		t.Error(err)
	}
	if route = s.synced(); route.Accepted || route.Problem != "" || route.Primary != 70 || route.Canary != 30 {
		t.Errorf("moved, not yet accepted: %+v", route)
	}
	s.answer()
	if route = s.synced(); !route.Accepted || route.Canary != 30 {
		t.Errorf("moved and accepted: %+v", route)
	}
}

// answer writes the status that a gateway writes when it has taken up the present generation.
func (s *stage) answer() {
	s.Helper()
	u := s.live()
	u.Object["status"] = map[string]any{"parents": []any{map[string]any{
		"controllerName": "example.com/gateway",
		"parentRef":      map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"},
		"conditions": []any{map[string]any{
			"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
			"observedGeneration": u.GetGeneration(), "lastTransitionTime": s.later(),
		}},
	}}}
	if err := world.admin.Status().Update(s.Context(), u); err != nil {
		s.Fatal(err)
	}
}

// later is another time at each call.
func (s *stage) later() string {
	s.answers++
	return time.Unix(0, 0).Add(time.Duration(s.answers) * time.Second).UTC().Format(time.RFC3339)
}

// Somebody edits the weights and adds a rule, a label and an annotation: the weights are repaired, the rest survives each further write.
func TestForeignEditsSurviveAndDriftIsRepaired(t *testing.T) {
	s := newStage(t)
	s.write(90, 10)
	edited := s.live()
	before := edited.DeepCopy()
	rules, _, _ := unstructured.NestedSlice(edited.Object, "spec", "rules")
	mapsIn(mapsIn(rules)[0]["backendRefs"])[1]["weight"] = int64(90)
	foreign := map[string]any{
		"matches":     []any{map[string]any{"path": map[string]any{"type": "Exact", "value": "/docs"}}},
		"backendRefs": []any{map[string]any{"group": "", "kind": "Service", "name": "docs", "port": int64(80), "weight": int64(1)}},
	}
	edited.Object["spec"].(map[string]any)["rules"] = append([]any{foreign}, rules...)
	edited.SetLabels(map[string]string{v1beta1.LabelCanary: "podinfo", "theirs": "label"})
	edited.SetAnnotations(map[string]string{"theirs": "annotation"})
	if err := world.admin.Patch(t.Context(), edited, client.MergeFrom(before), client.FieldOwner("hand")); err != nil {
		t.Fatal(err)
	}
	if route := s.synced(); route.Primary != 50 || route.Canary != 50 {
		t.Errorf("read %+v; the edited weights are 90 and 90", route)
	}
	for _, canary := range []int{10, 20, 0} {
		if route := s.write(100-canary, canary); route.Canary != canary || route.Primary != 100-canary {
			t.Errorf("wrote %d, read %+v", canary, route)
		}
		live := s.live()
		stored, _, _ := unstructured.NestedSlice(live.Object, "spec", "rules")
		if len(stored) != 2 || !equal(stored[0], foreign) {
			t.Errorf("at %d the rules are\n%s", canary, toYAML(t, stored))
		}
		labels, annotations := live.GetLabels(), live.GetAnnotations()
		if labels["theirs"] != "label" || annotations["theirs"] != "annotation" || annotations["kustomize.toolkit.fluxcd.io/reconcile"] != "disabled" {
			t.Errorf("at %d the metadata is\n%s", canary, toYAML(t, live.Object["metadata"]))
		}
	}
}

// Nothing is ever written over what the decision has not seen.
func TestConflictsSurface(t *testing.T) {
	s := newStage(t)
	decidedOn := s.write(90, 10)
	stale := s.live()
	s.write(100, 0) // Somebody fences the route meanwhile.
	intent := core.RouteIntent{Split: core.Split{Primary: 80, Canary: 20}, Version: decidedOn.Version}
	behind := func(get *unstructured.Unstructured) *Router {
		direct, err := client.NewWithWatch(world.config, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return &Router{memory: newMemory(clock.RealClock{}), client: interceptor.NewClient(direct, interceptor.Funcs{
			Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, out client.Object, _ ...client.GetOption) error {
				if get == nil {
					return apierrors.NewNotFound(v1beta1.GroupVersion.WithResource("any").GroupResource(), key.Name)
				}
				get.DeepCopyInto(out.(*unstructured.Unstructured))
				return nil
			},
		})}
	}
	for name, write := range map[string]func() (bool, error){
		"the cache has moved on": func() (bool, error) { return s.router.Write(t.Context(), s.canary, intent) },
		"the cache is behind":    func() (bool, error) { return behind(stale).Write(t.Context(), s.canary, intent) },
		"no version, cache is behind": func() (bool, error) {
			return behind(stale).Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 80, Canary: 20}})
		},
		"created meanwhile": func() (bool, error) {
			return behind(nil).Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 80, Canary: 20}})
		},
		"deleted before the decision": func() (bool, error) { return behind(nil).Write(t.Context(), s.canary, intent) },
		"given back from behind":      func() (bool, error) { return false, behind(stale).GiveBack(t.Context(), s.canary) },
	} {
		if changed, err := write(); !apierrors.IsConflict(err) {
			t.Errorf("%s: changed %v, %v", name, changed, err)
		}
	}
	if route := s.synced(); route.Canary != 0 {
		t.Errorf("the fence was written over: %+v", route)
	}
	gone := s.live()
	if err := world.admin.Delete(t.Context(), gone.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	if changed, err := behind(gone).Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 80, Canary: 20}}); changed || !apierrors.IsConflict(err) {
		t.Errorf("deleted meanwhile: changed %v, %v", changed, err)
	}
}
