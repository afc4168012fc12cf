//go:build e2e

package stories

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// idleWindow is how long the API server's counters are watched.
const idleWindow = 30 * time.Second

// noticed shows a change in status long before the next interval, and is silent between rollouts.
func noticed(t *testing.T, alone func()) {
	s := begin(t, "noticed")
	s.initialise(func(c *canary) { c.Interval = "5m" })
	alone()
	s.ask()
	before := s.phase(soon, v1beta1.PhaseInitialized).Status.CurrentRevision

	// Everything has settled; from here on nobody changes anything.
	s.quiet()
	spoken, own := s.requests()
	timer := time.NewTimer(idleWindow)
	defer timer.Stop()
	<-timer.C
	spokenAfter, ownAfter := s.requests()
	said := spokenAfter.Minus(spoken)
	t.Logf("in %s between rollouts: %d lease requests, %d watches opened again, %d other requests of Sluice's, %d requests but watches for flagger.app",
		idleWindow, said.Leases, said.Watches, said.Other, ownAfter-own)
	if said.Other != 0 {
		t.Errorf("%d requests of Sluice's although nothing changed", said.Other)
	}
	if ownAfter != own {
		t.Errorf("%d requests for Canaries although nothing changed", ownAfter-own)
	}

	changed := time.Now()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.key.Namespace, Name: s.key.Name}}
	change := []byte(`{"spec":{"template":{"metadata":{"annotations":{"example.com/restarted":"once"}}}}}`)
	s.ok(stage.Client.Patch(s.ctx, d, client.RawPatch(types.MergePatchType, change)))
	s.until("shows the change", soon, func(c *v1beta1.Canary) bool { return c.Status.CurrentRevision != before })
	for _, m := range s.timeline.Since(changed) {
		if m.Canary.Status.CurrentRevision == before {
			continue
		}
		took := m.At.Sub(changed)
		t.Logf("the change was in status %s after it was sent to the API server, at an interval of 5m", took.Round(time.Millisecond))
		if took > soon {
			t.Error("the change waited for something")
		}
		break
	}
}

// quiet waits until Sluice has not spoken for a while.
func (s *story) quiet() {
	s.Helper()
	last, since := -1, time.Now()
	s.eventually("Sluice has nothing more to do", func() bool {
		if _, own := s.requests(); own != last {
			last, since = own, time.Now()
		}
		return time.Since(since) > 5*time.Second
	})
}

// requests are the API server's counts of Sluice's requests, and of all requests but watches for its own kinds.
func (s *story) requests() (sluice harness.Requests, own int) {
	s.Helper()
	r, err := stage.SluiceRequests(s.ctx)
	s.ok(err)
	text, err := stage.Cluster.Kubectl(s.ctx, "", "get", "--raw", "/metrics")
	s.ok(err)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "apiserver_request_total{") || !strings.Contains(line, `group="flagger.app"`) || strings.Contains(line, `verb="WATCH"`) {
			continue
		}
		var n float64
		if _, err := fmt.Sscanf(line[strings.LastIndexByte(line, ' ')+1:], "%g", &n); err != nil {
			s.Fatal(err)
		}
		own += int(n)
	}
	return r, own
}
