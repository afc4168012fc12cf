//go:build integration

package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// Leaving in the middle of a rollout: the route leads to the apex Service and nothing would delete it with the Canary, whoever set the owner.
func TestGiveBack(t *testing.T) {
	for _, name := range []string{"give-back", "flagger", "step", "take-over"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			in := readSituation(t, "gatewayapi", name)
			in.canary.Namespace = s.canary.Namespace
			s.canary = in.canary
			unstructured.RemoveNestedField(in.live.Object, "status")
			s.create(in.live, "another controller")
			if name == "take-over" {
				s.write(70, 30)
			}
			if err := s.router.GiveBack(t.Context(), s.canary); err != nil {
				t.Fatal(err)
			}
			live := s.live()
			for _, ref := range live.GetOwnerReferences() {
				if ref.Kind == "Canary" {
					t.Errorf("owner left: %+v", ref)
				}
			}
			if text := string(toYAML(t, live.Object["metadata"])); strings.Contains(text, "sluice.dev/") || strings.Contains(text, "fluxcd") {
				t.Errorf("marks left:\n%s", text)
			}
			if hasBackend(live, "podinfo-primary") || hasBackend(live, "podinfo-canary") || !hasBackend(live, "podinfo") {
				t.Errorf("leads elsewhere than to the apex Service:\n%s", toYAML(t, live.Object["spec"]))
			}
			if route := s.synced(); route.Primary != 100 || route.Canary != 0 {
				t.Errorf("read %+v", route)
			}
			version, requests := live.GetResourceVersion(), world.writes.Load()
			if err := s.router.GiveBack(t.Context(), s.canary); err != nil || s.live().GetResourceVersion() != version || world.writes.Load() != requests {
				t.Errorf("a second time: %v, version %s to %s, %d requests", err, version, s.live().GetResourceVersion(), world.writes.Load()-requests)
			}
		})
	}
}

// hasBackend tells whether a rule leads to a Service of the route's namespace.
func hasBackend(route *unstructured.Unstructured, service string) bool {
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	for _, rule := range mapsIn(rules) {
		for _, ref := range mapsIn(rule["backendRefs"]) {
			if ref["name"] == service && ref["namespace"] == nil {
				return true
			}
		}
	}
	return false
}

// The provider was changed after the route was written: leaving still finds it.
func TestGiveBackAfterAChangeOfProvider(t *testing.T) {
	s := newStage(t)
	s.write(50, 50)
	s.canary.Spec.Provider = "kubernetes"
	if err := s.router.GiveBack(t.Context(), s.canary); err != nil {
		t.Fatal(err)
	}
	if live := s.live(); hasBackend(live, "podinfo-canary") || len(live.GetOwnerReferences()) != 0 {
		t.Errorf("left behind:\n%s", toYAML(t, live))
	}
}

// Nothing there, or a route that is not the Canary's: leaving touches nothing.
func TestGiveBackLeavesOthersAlone(t *testing.T) {
	s := newStage(t)
	if err := s.router.GiveBack(t.Context(), s.canary); err != nil {
		t.Fatalf("without a route: %v", err)
	}
	theirs := readSituation(t, "gatewayapi", "take-over").live
	theirs.SetAnnotations(map[string]string{"kustomize.toolkit.fluxcd.io/reconcile": "disabled"})
	s.create(theirs, "hand")
	before := s.live()
	if err := s.router.GiveBack(t.Context(), s.canary); err != nil {
		t.Fatal(err)
	}
	if after := s.live(); !equal(before, after) {
		t.Errorf("somebody else's route was changed:\n%s", toYAML(t, after))
	}
}

// Two Canaries with one apex Service would fight; the second is refused, and does not give away what is the first one's.
func TestARouteHasOneCanary(t *testing.T) {
	s := newStage(t)
	s.write(70, 30)
	version := s.live().GetResourceVersion()
	second := s.canary.DeepCopy()
	second.Name, second.UID = "second", "22222222-2222-2222-2222-222222222222"
	_, err := s.router.Write(t.Context(), second, core.RouteIntent{Split: core.Split{Primary: 100}})
	if err == nil || !strings.Contains(err.Error(), `belongs to the Canary "podinfo"`) {
		t.Errorf("err = %v", err)
	}
	if err := s.router.GiveBack(t.Context(), second); err != nil {
		t.Errorf("leaving: %v", err)
	}
	if now := s.live().GetResourceVersion(); now != version {
		t.Errorf("version moved from %s to %s", version, now)
	}
}
