package webhook

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// verbed is a Canary with annotations in pairs.
func verbed(pairs ...string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion(v1beta1.GroupVersion.String())
	u.SetKind(v1beta1.CanaryKind)
	u.SetName("web")
	u.SetNamespace("test")
	u.SetUID("1")
	values := map[string]string{"note": "kept"}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	u.SetAnnotations(values)
	return u
}

func TestDecideVerb(t *testing.T) {
	const verb, stamp = v1beta1.AnnotationVerb, v1beta1.AnnotationVerbStamp
	now, key := time.Date(2026, 1, 1, 0, 0, 0, 1500, time.UTC), []byte("key")
	running := &v1beta1.Canary{}
	running.Status.Phase = v1beta1.PhaseProgressing
	running.Status.Rollout = &v1beta1.RolloutStatus{Revision: "bbbbbb", Stage: v1beta1.StageAnalysing}
	idle := &v1beta1.Canary{}
	idle.Status.Phase = v1beta1.PhaseSucceeded
	ahead := running.DeepCopy()
	ahead.Status.Verb = &v1beta1.VerbStatus{At: metav1.NewMicroTime(now.Add(time.Minute))}
	for name, test := range map[string]struct {
		before, next      *unstructured.Unstructured
		canary            *v1beta1.Canary
		may               bool
		stamped           time.Time
		kept              string
		denial, forbidden string
	}{
		"allowed":             {verbed(), verbed(verb, "abort"), running, true, now.Truncate(time.Microsecond), "", "", ""},
		"allowed, over old":   {verbed(verb, "pause", stamp, "s"), verbed(verb, "abort", stamp, "s"), running, true, now.Truncate(time.Microsecond), "", "", ""},
		"allowed, clock":      {verbed(), verbed(verb, "abort"), ahead, true, now.Add(time.Minute).Truncate(time.Microsecond).Add(time.Microsecond), "", "", ""},
		"no right":            {verbed(), verbed(verb, "abort"), running, false, time.Time{}, "", "", "resources: [canaries/abort]"},
		"no right, no sense":  {verbed(), verbed(verb, "abort"), idle, false, time.Time{}, "", "", `user "jane" may not abort canary web`},
		"no sense":            {verbed(), verbed(verb, "abort"), idle, true, time.Time{}, "", "no rollout is under way", ""},
		"no verb":             {verbed(), verbed(verb, "aboard"), running, true, time.Time{}, "", "use one of", ""},
		"same verb":           {verbed(verb, "abort", stamp, "s"), verbed(verb, "abort", stamp, "s"), running, false, time.Time{}, "s", "", ""},
		"stamp dropped":       {verbed(verb, "abort", stamp, "s"), verbed(verb, "abort"), running, false, time.Time{}, "s", "", ""},
		"stamp replaced":      {verbed(verb, "abort", stamp, "s"), verbed(verb, "abort", stamp, "x"), running, false, time.Time{}, "s", "", ""},
		"stamp out of thin":   {verbed(verb, "abort"), verbed(verb, "abort", stamp, "x"), running, false, time.Time{}, "", "", ""},
		"taken back":          {verbed(verb, "abort", stamp, "s"), verbed(stamp, "s"), running, false, time.Time{}, "", "", ""},
		"nothing about verbs": {verbed(), verbed("other", "1"), running, false, time.Time{}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := DecideVerb(VerbFacts{Old: test.before, New: test.next, Canary: test.canary, User: "jane", May: test.may, ID: "r1", Now: now, Key: key})
			if (out.Denial == "") != (test.denial == "") || !strings.Contains(out.Denial, test.denial) {
				t.Errorf("denied with %q, want %q", out.Denial, test.denial)
			}
			if (out.Forbidden == "") != (test.forbidden == "") || !strings.Contains(out.Forbidden, test.forbidden) {
				t.Errorf("forbidden with %q, want %q", out.Forbidden, test.forbidden)
			}
			if out.Denial+out.Forbidden != "" {
				if len(out.Patches) > 0 {
					t.Errorf("what is refused is patched: %v", out.Patches)
				}
				return
			}
			got := after(t, test.next, Outcome{Patches: out.Patches}).GetAnnotations()
			if got["note"] != "kept" {
				t.Errorf("annotations %v", got)
			}
			if test.stamped.IsZero() {
				if got[stamp] != test.kept {
					t.Errorf("stamp %q, want %q", got[stamp], test.kept)
				}
				return
			}
			s, err := v1beta1.ParseVerbStamp(got[stamp])
			if err != nil || s.By != "jane" || s.ID != "r1" || !s.At.Time.Equal(test.stamped) {
				t.Errorf("stamp %+v (%v), want jane at %s", s, err, test.stamped)
			}
			if err := s.Verify(key, test.next, "abort"); err != nil {
				t.Errorf("the stamp does not hold: %v", err)
			}
		})
	}
}
