//go:build integration

package mesh

import (
	"context"
	"errors"
	"sync"
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

// elsewhere is the router of another replica: it has no cache and remembers nothing.
func (s *stage) elsewhere(intercept interceptor.Funcs) *Router {
	s.Helper()
	direct, err := client.NewWithWatch(world.config, client.Options{})
	if err != nil {
		s.Fatal(err)
	}
	c := interceptor.NewClient(direct, intercept)
	r, err := New(c, c, "gatewayapi:v1", clock.RealClock{})
	if err != nil {
		s.Fatal(err)
	}
	return r
}

func (s *stage) fence(r *Router, cause string, second int64) {
	s.Helper()
	if err := r.Fence(s.Context(), s.canary, fenceFor(cause, second)); err != nil {
		s.Fatal(err)
	}
}

// A decision made before the fence never opens the route: not while the fence stands, not after it was taken off, wherever the weights were.
func TestAStaleWriterNeverOpensAFencedRoute(t *testing.T) {
	for _, before := range []int{0, 50} {
		s := newStage(t)
		decidedOn := s.write(100-before, before)
		stale := core.RouteIntent{Split: core.Split{Primary: 25, Canary: 75}, Version: decidedOn.Version}
		refused := func(what string) {
			t.Helper()
			for name, r := range map[string]*Router{"own": s.router, "another": s.elsewhere(interceptor.Funcs{})} {
				if changed, err := r.Write(t.Context(), s.canary, stale); changed || !apierrors.IsConflict(err) {
					t.Errorf("from %d, %s, %s replica: changed %v, %v", before, what, name, changed, err)
				}
			}
		}
		s.fence(s.elsewhere(interceptor.Funcs{}), "configmap/page", 1)
		shut := s.synced()
		if shut.Canary != 0 || shut.Primary != 100 || shut.Fence == nil || shut.Fence.Cause != "configmap/page" || !shut.Fence.At.Time.Equal(time.Unix(1, 0)) {
			t.Fatalf("from %d: fenced, read %+v", before, shut)
		}
		refused("fenced")
		keep := core.RouteIntent{Split: core.Split{Primary: 100}, Version: shut.Version, KeepFence: true}
		if _, err := s.router.Write(t.Context(), s.canary, keep); err != nil {
			t.Fatal(err)
		}
		if kept := s.synced(); kept.Fence == nil || kept.Version != shut.Version {
			t.Errorf("from %d: a write that keeps the fence made %+v", before, kept)
		}
		s.settled(keep)
		if changed, err := s.router.Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 100}, Version: shut.Version}); err != nil || !changed {
			t.Fatalf("from %d: taking the fence off: changed %v, %v", before, changed, err)
		}
		freed := s.synced()
		if freed.Fence != nil || freed.Canary != 0 {
			t.Errorf("from %d: freed, read %+v", before, freed)
		}
		refused("freed")
		if _, err := s.router.Write(t.Context(), s.canary, core.RouteIntent{Split: core.Split{Primary: 75, Canary: 25}, Version: freed.Version}); err != nil {
			t.Errorf("from %d: a decision after the fence: %v", before, err)
		}
	}
}

// Replicas fence while the reconciler writes and a gateway answers: each fence gets through, and none is written over by what was decided before.
func TestFencesGetThroughABusyRoute(t *testing.T) {
	s := newStage(t)
	s.write(50, 50)
	const rounds = 20
	stop := make(chan struct{})
	var busy, fencing sync.WaitGroup
	busy.Go(func() {
		// The gateway's controller: it answers without pause.
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			u := s.live()
			u.SetLabels(map[string]string{v1beta1.LabelCanary: "podinfo", "round": time.Duration(i).String()})
			if err := world.admin.Update(t.Context(), u); err != nil && !apierrors.IsConflict(err) {
				t.Error(err)
			}
		}
	})
	for i := range rounds {
		fencing.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := s.elsewhere(interceptor.Funcs{}).Fence(ctx, s.canary, fenceFor("configmap/page", int64(i))); err != nil {
				t.Error(err)
			}
		})
	}
	fencing.Wait()
	close(stop)
	busy.Wait()
	if route := s.synced(); route.Fence == nil || route.Canary != 0 {
		t.Errorf("read %+v", route)
	}
}

// A route that always changes is given up when the time of the request is over, with the reason.
func TestFenceGivesUpInTime(t *testing.T) {
	s := newStage(t)
	s.write(50, 50)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tries := 0
	r := s.elsewhere(interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
		if tries++; tries == 5 {
			cancel()
		}
		return apierrors.NewConflict(v1beta1.GroupVersion.WithResource("any").GroupResource(), "podinfo", errors.New("busy"))
	}})
	if err := r.Fence(ctx, s.canary, fenceFor("configmap/page", 1)); !errors.Is(err, context.Canceled) || tries != 5 {
		t.Errorf("after %d tries: %v", tries, err)
	}
}

// Routes of others are not the Canary's to fence, nor is one that was given back; a missing one is nothing.
func TestFenceLeavesOthersAlone(t *testing.T) {
	s := newStage(t)
	r := s.elsewhere(interceptor.Funcs{})
	s.fence(r, "configmap/page", 1)

	s.write(50, 50)
	taken := s.live()
	taken.SetLabels(map[string]string{v1beta1.LabelCanary: "another"})
	taken.SetOwnerReferences(nil)
	if err := world.admin.Update(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	unchanged := func(what string) {
		t.Helper()
		version := s.live().GetResourceVersion()
		s.fence(r, "configmap/page", 2)
		if now := s.live(); now.GetResourceVersion() != version {
			t.Errorf("%s: changed to\n%s", what, toYAML(t, now))
		}
	}
	unchanged("another Canary's")
	taken = s.live()
	taken.SetLabels(nil)
	unstructured.RemoveNestedField(taken.Object, "metadata", "labels")
	if err := world.admin.Update(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	if err := r.GiveBack(t.Context(), s.canary); err != nil {
		t.Fatal(err)
	}
	unchanged("given back")
}
