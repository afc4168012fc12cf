package mesh

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/mesh/capability"
	"github.com/sluice-dev/sluice/reconciler/core"
)

func fenceFor(cause string, second int64) v1beta1.Fence {
	return v1beta1.Fence{Cause: cause, At: metav1.NewMicroTime(time.Unix(second, 0).UTC())}
}

// Whatever the route: a fence takes all users to the primary, whoever they are and whatever cookies they bring, and stops all copies. It touches nothing else, is read back as written, and makes the route a version that
// it never was and never becomes again, also where the weights were at the primary already.
func TestFencedRoutes(t *testing.T) {
	for name, p := range implementations() {
		able, _ := capability.Lookup(name)
		if !able.Splits {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(200) {
				checkFenced(t, p, generator{rand.New(rand.NewPCG(seed, 11)), able}, seed)
			}
		})
	}
}

func checkFenced(t *testing.T, p Provider, g generator, seed uint64) {
	t.Helper()
	c := g.canary()
	unread := p
	p = informed(t, p, c)
	foreign := g.foreignRules(p)
	open := render(t, p, c, g.live(t, p, c, foreign), core.RouteIntent{Split: g.split(c)})
	claim(open, c, p.Objects(c)[0], true)
	open.SetUID("1")
	open.SetGeneration(7)

	seen := map[string]string{versionOf(open): "before"}
	remember := func(what string, u *unstructured.Unstructured) {
		t.Helper()
		if same, known := seen[versionOf(u)]; known {
			t.Fatalf("seed %d: %s has the version of %s", seed, what, same)
		}
		seen[versionOf(u)] = what
	}
	f := fenceFor("configmap/page", int64(seed))
	shut := fenced(c, unread, open, f)
	if got := p.Read(c, shut); got.Split != (core.Split{Primary: 100}) || got.ViaApex {
		t.Fatalf("seed %d: fenced, read %+v", seed, got)
	}
	if got := fenceOf(shut); got == nil || got.String() != f.String() {
		t.Fatalf("seed %d: wrote %s, read %v", seed, f, got)
	}
	if in, ok := p.(dialect); ok {
		checkRules(t, in, seed, c, shut, foreign)
	}
	if again := fenced(c, p, shut, f); !equal(again, shut) {
		t.Fatalf("seed %d: the same fence again changes\n%s", seed, toYAML(t, again))
	}
	remember("fenced", shut)
	freed := shut.DeepCopy()
	free(freed)
	if fenceOf(freed) != nil {
		t.Fatalf("seed %d: the fence stands though it was taken off", seed)
	}
	remember("freed", freed)
	again := fenced(c, p, freed, fenceFor("configmap/page", int64(seed)+1))
	remember("fenced again", again)
	free(again)
	remember("freed again", again)
	release(again, c)
	if text := string(toYAML(t, again.Object["metadata"])); strings.Contains(text, "fence") {
		t.Fatalf("seed %d: given back with\n%s", seed, text)
	}
}

// While the primary is being rolled the weights are left to the reconciler, which knows what the primary can take.
func TestFenceDuringPromotion(t *testing.T) {
	c := plainCanary()
	open := render(t, gatewayAPI{}, c, nil, core.RouteIntent{Split: core.Split{Primary: 50, Canary: 50}})
	for stage, canary := range map[v1beta1.Stage]int{v1beta1.StagePromoting: 50, v1beta1.StageAnalysing: 0, v1beta1.StageFinalising: 0} {
		c.Status.Rollout = &v1beta1.RolloutStatus{Stage: stage}
		shut := fenced(c, gatewayAPI{}, open, fenceFor("secret/key", 1))
		if got := (gatewayAPI{}).Read(c, shut); got.Canary != canary || fenceOf(shut) == nil {
			t.Errorf("in %s: %+v, fence %v", stage, got, fenceOf(shut))
		}
	}
}

// What cannot be read as a fence must not keep users away for ever, and must not be overlooked either: it counts as one from long ago.
func TestUnreadableFence(t *testing.T) {
	for _, value := range []string{"", "true", `{"at": "yesterday"}`} {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetAnnotations(map[string]string{v1beta1.AnnotationFence: value})
		if f := fenceOf(u); f == nil || !f.At.IsZero() {
			t.Errorf("%q is read as %v", value, f)
		}
	}
}

// Without a route there is nothing to fence: nil clients are never called.
func TestFenceWithoutARoute(t *testing.T) {
	r, err := New(nil, nil, "kubernetes", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	c := plainCanary()
	c.Spec.Provider = ""
	if err := r.Fence(t.Context(), c, fenceFor("configmap/page", 1)); err != nil {
		t.Error(err)
	}
	c.Spec.Provider = "none"
	if err := r.Fence(t.Context(), c, fenceFor("configmap/page", 1)); err == nil || !strings.Contains(err.Error(), "spec.provider") {
		t.Errorf("an unknown provider: %v", err)
	}
}
