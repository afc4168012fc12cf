//go:build e2e

package stories

import (
	"sync"
	"testing"
	"time"
)

// atOnce is how many stories are played or prepared side by side. They mostly wait.
const atOnce = 6

// told is one story that leaves Sluice alone: a name and what happens.
type told struct {
	name string
	tell func(*testing.T)
}

// disturbing is one story that needs the stage for itself. It prepares what it plays with and then calls alone, which returns when everybody else
// has made way.
type disturbing struct {
	name string
	tell func(t *testing.T, alone func())
}

// TestStories plays all stories. Those that leave Sluice alone are played side by side; the others one after the other, the emergency exit last,
// because no story can be played after it.
func TestStories(t *testing.T) {
	play(t, []told{
		// Those that take longest come first, so that none is left over at the end.
		{"an autoscaler", scaledByLoad},
		{"the examples of Flagger's documentation", documentedExamples},
		{"a DaemonSet", daemonSet},
		{"a Service", serviceTarget},
		{"a changed ConfigMap, alone and together", changedConfig},
		{"ephemeral, a good version and the way back", ephemeralGood},
		{"ephemeral, a bad version and its fix", ephemeralBad},
		{"ephemeral, kubectl rollout", ephemeralKubectl},
		{"persistent, kubectl rollout", persistentKubectl},
		{"ephemeral to and fro", switchedLifecycle},
		{"a promotion that fails, and its fix", rescued},
		{"the analysis gets no answers", noAnswers},
		{"the primary is deleted", deletedPrimary},
		{"a ConfigMap is opted out and changed at once", optedOutConfig},
		{"the namespace is deleted", deletedNamespace},
		{"the Canary is deleted", deletedCanary},
		{"a second change at 50%", secondChange},
		{"users stay where they were answered first", stickyUsers},
		{"insiders meet a version first", insiders},
		{"all users at once, behind a gateway", blueGreenBehindGateway},
		{"a good version is promoted", goodVersion},
		{"a Canary and a change in one apply", appliedTogether},
		{"the gateway comes late", lateGateway},
		{"a tag is moved during the analysis", movedTag},
		{"a bad version is rolled back", badVersion},
		{"blue-green on Services", blueGreenOnServices},
		{"the target comes late", lateTarget},
		{"mistakes are denied", denied},
	}, []disturbing{
		{"changes are noticed at once, silence between", noticed},
		{"a second change while Sluice is away", secondChangeUnattended},
		{"ephemeral, a change while Sluice is away", ephemeralUnattended},
		{"a mistake is stored while Sluice is away", invalidWhileAway},
		{"the controller is killed", killedController},
		{"chaos under load", chaos},
		{"the power fails", restartedCluster},
		{"Sluice is uninstalled unprepared", uninstalled},
		{"the emergency exit", emergencyExit},
	})
}

// play begins the stories in the order given, as many at once as may be, and returns when all are told. The testing package would choose an order
// of its own.
func play(t *testing.T, together []told, apart []disturbing) {
	slots := make(chan struct{}, atOnce)
	var all, before sync.WaitGroup
	for _, s := range together {
		slots <- struct{}{}
		before.Add(1)
		all.Go(func() {
			defer before.Done()
			defer func() { <-slots }()
			t.Run(s.name, s.tell)
		})
	}
	// Also what others prepare would disturb.
	before.Add(len(apart))
	turn := make(chan struct{})
	all.Go(func() {
		defer close(turn)
		before.Wait()
	})
	for _, s := range apart {
		slots <- struct{}{}
		mine, next := turn, make(chan struct{})
		turn = next
		prepared := sync.OnceFunc(func() {
			<-slots
			before.Done()
		})
		all.Go(func() {
			defer close(next)
			// One that was not played, or failed before it had the stage, does not pass it on before its turn either.
			defer func() { <-mine }()
			defer prepared()
			t.Run(s.name, func(t *testing.T) {
				s.tell(t, func() {
					prepared()
					<-mine
					// The time that the testing package tells is mostly that of others.
					since := time.Now()
					t.Cleanup(func() { t.Logf("had the stage for %s", time.Since(since).Round(time.Second)) })
				})
			})
		})
	}
	all.Wait()
}
