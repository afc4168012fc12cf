//go:build integration

package reconciler

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

func isPostRollout(req check.Request) bool {
	return req.Webhook != nil && req.Webhook.Type == v1beta1.HookPostRollout
}

// keysOf returns the keys of the checks that were asked and that want accepts, sorted.
func (f *fakeChecker) keysOf(want func(check.Request) bool) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for key, req := range f.asked {
		if want(req) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

func (f *fakeChecker) silence(which func(check.Request) bool) {
	f.mu.Lock()
	f.silent = which
	f.mu.Unlock()
	f.set(true, "")
}

// A post-rollout hook that was not answered when Sluice died is called again by the next one, with the same key, and holds up nothing meanwhile.
func TestPostRolloutOutlivesSluice(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) {
		c.Spec.Analysis.Webhooks = append(c.Spec.Analysis.Webhooks, v1beta1.CanaryWebhook{Name: "tell", Type: v1beta1.HookPostRollout, URL: "http://tell.test/"})
	})
	s.settled(v1beta1.PhaseInitialized)
	s.checks.silence(isPostRollout)
	s.setImage("web:2")
	s.until("the hook is being called", func() bool { return len(s.checks.keysOf(isPostRollout)) == 1 })
	s.settled(v1beta1.PhaseSucceeded)
	before := s.checks.keysOf(isPostRollout)
	pending := s.canary().Status.PendingHooks
	if len(pending) != 1 || pending[0].Key != before[0] || pending[0].Phase != v1beta1.PhaseSucceeded {
		t.Fatalf("asked %v, pending %+v", before, pending)
	}

	s.stop()
	// What a process knew of its checks ends with it.
	s.checks.Forget(types.NamespacedName{}, "")
	s.start()
	s.until("the hook is called again", func() bool { return slices.Equal(s.checks.keysOf(isPostRollout), before) })
	s.setImage("web:3")
	s.until("the next revision is promoted behind the silent hook", func() bool { return s.image("web-primary") == "web:3" && s.canary().Status.Rollout == nil })
	s.checks.silence(nil)
	s.until("nothing is pending", func() bool { return len(s.canary().Status.PendingHooks) == 0 })
}

// Event hooks are told what is recorded, in Flagger's words.
func TestEventHooksAreTold(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.application()
	change(s, "web", &v1beta1.Canary{}, func(c *v1beta1.Canary) {
		c.Spec.Analysis.Webhooks = append(c.Spec.Analysis.Webhooks, v1beta1.CanaryWebhook{Name: "listen", Type: v1beta1.HookEvent, URL: "http://listen.test/"})
	})
	s.settled(v1beta1.PhaseInitialized)
	isEvent := func(req check.Request) bool { return req.Webhook != nil && req.Webhook.Name == "listen" }
	s.checks.silence(isEvent)
	s.setImage("web:2")
	s.until("the new revision is promoted", func() bool { return s.image("web-primary") == "web:2" && s.canary().Status.Rollout == nil })
	pending := s.canary().Status.PendingHooks
	if n := len(s.checks.keysOf(isEvent)); n != 1 {
		t.Errorf("%d calls to a silent event hook are under way, want one at a time", n)
	}
	var all []string
	for _, p := range pending {
		all = append(all, p.EventMessage)
	}
	for _, want := range []string{"New revision detected!", "Advance web.", "Promotion completed!"} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("%q is not among what is to be told:\n%s", want, strings.Join(all, "\n"))
		}
	}
	first := s.checks.keysOf(isEvent)[0]
	s.checks.mu.Lock()
	metadata := s.checks.asked[first].Metadata
	s.checks.mu.Unlock()
	if metadata["eventMessage"] == "" || metadata["eventType"] != "Normal" || len(metadata["timestamp"]) != len("1767225600000") {
		t.Errorf("the event hook is told %v", metadata)
	}
	s.checks.silence(nil)
	s.until("all is told", func() bool { return len(s.canary().Status.PendingHooks) == 0 })
}
