//go:build integration

package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// A step that is taken back at once must really be taken back: reads show what was just written, whatever the cache still shows.
func TestReadsShowWhatWasJustWritten(t *testing.T) {
	s := newStage(t)
	for _, canary := range []int{0, 10, 0, 50, 100, 0} {
		for _, again := range []bool{true, false} {
			changed, err := s.router.Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 100 - canary, Canary: canary}})
			if err != nil || changed != again {
				t.Fatalf("write %d: changed %v, %v; want %v", canary, changed, err, again)
			}
		}
		route, err := s.router.Read(t.Context(), s.canary)
		if err != nil || route.Canary != canary || route.Version != versionOf(s.live()) {
			t.Fatalf("wrote %d, read %+v, %v", canary, route, err)
		}
		if live := (gatewayAPI{}).Read(s.canary, s.live()); live.Canary != canary {
			t.Fatalf("wrote %d, the API server has %+v", canary, live)
		}
	}
}

// Somebody breaks the Canary in the middle of a rollout, in a way that this code sees or that only the API server sees. Taking the traffic back
// does not wait until that is mended; nothing else of the route changes, and the reason is told.
func TestTrafficIsTakenBackFromABrokenCanary(t *testing.T) {
	for name, tt := range map[string]struct {
		breakIt func(*v1beta1.CanaryService)
		reason  string
		seen    bool
	}{
		"cannot be rendered": {
			func(s *v1beta1.CanaryService) {
				s.Match = []v1beta1.HTTPMatch{{Headers: map[string]v1beta1.StringMatch{"a": {Prefix: "p"}}}}
			}, "spec.service.match[0].headers[a].prefix", true,
		},
		"no gateway left": {func(s *v1beta1.CanaryService) { s.GatewayRefs = nil }, "spec.service.gatewayRefs is empty", true},
		"refused by the API server": {
			func(s *v1beta1.CanaryService) {
				s.Rewrite = &v1beta1.HTTPRewrite{URI: "/", Type: "ReplacePrefixMatch"}
				s.Match = []v1beta1.HTTPMatch{{URI: &v1beta1.StringMatch{Prefix: "/a"}}, {URI: &v1beta1.StringMatch{Prefix: "/b"}}}
			}, "exactly one PathPrefix match must be specified", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.write(70, 30)
			s.answer()
			s.synced()
			want := s.live()
			tt.breakIt(&s.canary.Spec.Service)

			if route := s.synced(); tt.seen && (route.Accepted || !strings.Contains(route.Problem, tt.reason)) || route.Canary != 30 {
				t.Errorf("read %+v", route)
			}
			changed, err := s.router.Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 100}})
			if !changed || err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("changed %v, %v", changed, err)
			}
			if changed, err = s.router.Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 100}}); changed || err == nil {
				t.Errorf("again: changed %v, %v", changed, err)
			}
			rules, _, _ := unstructured.NestedFieldNoCopy(want.Object, "spec", "rules")
			refs := mapsIn(mapsIn(rules)[0]["backendRefs"])
			refs[0]["weight"], refs[1]["weight"] = int64(100), int64(0)
			if live := s.live(); !equal(live.Object["spec"], want.Object["spec"]) {
				t.Errorf("the route is now\n%s", toYAML(t, live.Object["spec"]))
			}
		})
	}
	t.Run("and one that never had a route gets none", func(t *testing.T) {
		s := newStage(t)
		s.canary.Spec.Service.GatewayRefs = nil
		if changed, err := s.router.Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 100}}); changed || err == nil {
			t.Errorf("changed %v, %v", changed, err)
		}
	})
}

// On the way out the route leads to the apex Service while it is still the Canary's, whatever the Canary says by then.
func TestWriteViaApex(t *testing.T) {
	s := newStage(t)
	if route := s.write(70, 30); route.ViaApex {
		t.Errorf("read %+v", route)
	}
	s.canary.Spec.Service.GatewayRefs = nil
	intent := core.RouteIntent{Split: core.Split{Primary: 100}, ViaApex: true}
	if changed, err := s.router.Write(t.Context(), s.canary, intent); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if route := s.synced(); !route.ViaApex || route.Primary != 100 || route.Canary != 0 {
		t.Errorf("read %+v", route)
	}
	live := s.live()
	marked := live.GetLabels()[v1beta1.LabelCanary] == "podinfo" && len(live.GetOwnerReferences()) == 1
	if !hasBackend(live, "podinfo") || hasBackend(live, "podinfo-primary") || !marked {
		t.Errorf("the route is\n%s", toYAML(t, live))
	}
	s.settled(intent)
}
