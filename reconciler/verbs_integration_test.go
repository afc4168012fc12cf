//go:build integration

package reconciler

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// annotate sets annotations of the Canary as somebody does who admission does not see.
func (s *stage) annotate(values map[string]string) {
	s.Helper()
	c := s.canary()
	next := c.DeepCopy()
	next.Annotations = with(next.Annotations, values)
	if err := shared.admin.Patch(s.Context(), next, client.MergeFrom(c)); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) verbTaken(want v1beta1.VerbOutcome, text string) *v1beta1.VerbStatus {
	s.Helper()
	var v *v1beta1.VerbStatus
	s.until(text+" is "+string(want), func() bool {
		c := s.canary()
		v = c.Status.Verb
		_, asked := c.Annotations[v1beta1.AnnotationVerb]
		_, stamped := c.Annotations[v1beta1.AnnotationVerbStamp]
		return v != nil && v.Text == text && v.Outcome == want && !asked && !stamped && !v.Standing
	})
	return v
}

// Without admission there is no stamp, and a forged one does not hold: the verb is ignored with an event, and taken off. One that admission has signed
// is done once: its stamp does not work again.
func TestVerbsWithoutAdmission(t *testing.T) {
	s := newStage(t)
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.silent = func(check.Request) bool { return true }
	s.setImage("podinfo:2")
	s.until("a rollout waits", func() bool { return s.canary().Status.Rollout != nil })

	s.annotate(map[string]string{v1beta1.AnnotationVerb: "abort"})
	s.verbTaken(v1beta1.VerbIgnored, "abort")
	s.told("VerbIgnored", "it was set while admission was away")
	at := metav1.NewMicroTime(time.Now())
	forged := v1beta1.VerbStamp{ID: "r1", By: "admin", At: at}.Sign([]byte("a guess"), s.canary(), "abort#2")
	s.annotate(map[string]string{v1beta1.AnnotationVerb: "abort#2", v1beta1.AnnotationVerbStamp: forged.String()})
	s.verbTaken(v1beta1.VerbIgnored, "abort#2")
	s.told("VerbIgnored", "its signature is not that of admission")
	if st := s.canary().Status; st.Rollout == nil || st.FailedRevision != "" {
		t.Fatalf("a verb that nobody admitted was done: %+v", st)
	}

	at = metav1.NewMicroTime(time.Now())
	signed := v1beta1.VerbStamp{ID: "r2", By: "jane", At: at}.Sign(verbKey, s.canary(), "pause").String()
	pause := map[string]string{v1beta1.AnnotationVerb: "pause", v1beta1.AnnotationVerbStamp: signed}
	s.annotate(pause)
	if v := s.verbTaken(v1beta1.VerbDone, "pause"); v.By != "jane" {
		t.Errorf("done for %q", v.By)
	}
	// Somebody has kept the stamp, and says resume by a good one in between.
	resume := v1beta1.VerbStamp{ID: "r3", By: "jane", At: metav1.NewMicroTime(time.Now())}.Sign(verbKey, s.canary(), "resume").String()
	s.annotate(map[string]string{v1beta1.AnnotationVerb: "resume", v1beta1.AnnotationVerbStamp: resume})
	s.verbTaken(v1beta1.VerbDone, "resume")
	s.annotate(pause)
	if v := s.verbTaken(v1beta1.VerbIgnored, "pause"); !strings.Contains(v.Message, "was used before") {
		t.Errorf("the stamp works twice: %+v", v)
	}
	if s.canary().Status.Paused != nil {
		t.Error("a stamp that was used has paused the rollout")
	}
}

// verbKey is what admission would sign with.
var verbKey = []byte("the key of this test")
