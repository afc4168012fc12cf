//go:build integration

package reconciler

import (
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Two clients create a Canary for the same target at once, past admission: one of them owns it, whichever came to be seen first, the other touches
// nothing and says so. Deleting the other gives nothing back; when the owner goes, the other takes over.
func TestTwoCanariesForOneTarget(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	template := s.canary()
	if err := shared.admin.Delete(t.Context(), template.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	s.until("the first Canary is gone", func() bool { return !s.get("web", &v1beta1.Canary{}) })
	named := func(name string) *v1beta1.Canary {
		return &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.ns}, Spec: *template.Spec.DeepCopy()}
	}
	var both sync.WaitGroup
	for _, name := range []string{"web", "rival"} {
		both.Go(func() {
			if err := shared.admin.Create(t.Context(), named(name)); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	read := func(name string) *v1beta1.Canary {
		c := &v1beta1.Canary{}
		s.get(name, c)
		return c
	}
	winner, loser := "web", "rival"
	if read("rival").Precedes(read("web")) {
		winner, loser = loser, winner
	}
	yields := func(name string) bool {
		ready := read(name).Status.Condition(v1beta1.ConditionReady)
		return ready != nil && ready.Reason == "TargetConflict"
	}
	s.until("one serves and the other yields", func() bool {
		return read(winner).Status.Phase == v1beta1.PhaseInitialized && yields(loser)
	})
	if c := read(loser); len(c.Finalizers) > 0 || c.Status.Phase != "" || c.Status.Rollout != nil {
		t.Errorf("who yields has finalizers %v, status %+v", c.Finalizers, c.Status)
	}
	if !metav1.IsControlledBy(s.deployment("web-primary"), read(winner)) {
		t.Error("the primary is not the winner's")
	}
	s.followed()
	// Whoever yields goes without a trace, and comes back.
	before := s.versionsWithout(winner, loser)
	if err := shared.admin.Delete(t.Context(), read(loser)); err != nil {
		t.Fatal(err)
	}
	s.until("the loser is gone", func() bool { return !s.get(loser, &v1beta1.Canary{}) })
	again := named(loser)
	if err := shared.admin.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	s.until("the loser yields again", func() bool { return yields(loser) })
	if after := s.versionsWithout(winner, loser); after != before {
		t.Errorf("the loser changed what is the winner's\n before %s\n after %s", before, after)
	}
	if err := shared.admin.Delete(t.Context(), read(winner)); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	s.until("the loser has taken over", func() bool {
		d := &appsv1.Deployment{}
		return !s.get(winner, &v1beta1.Canary{}) && read(loser).Status.Phase == v1beta1.PhaseInitialized &&
			s.get("web-primary", d) && metav1.IsControlledBy(d, read(loser))
	})
}

// versionsWithout are the versions of all that Sluice could have written but the Canaries.
func (s *stage) versionsWithout(names ...string) string {
	s.Helper()
	out := ""
	for _, v := range s.versions() {
		skip := false
		for _, n := range names {
			skip = skip || len(v) > 7+len(n) && v[:7+len(n)] == "Canary "+n
		}
		if !skip {
			out += v + "\n"
		}
	}
	return out
}
