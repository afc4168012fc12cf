//go:build e2e

package stories

import "testing"

// told is one story: a name and what happens.
type told struct {
	name string
	tell func(*testing.T)
}

// TestStories plays all stories. Those that leave Sluice alone are played side by side; the others one after the other, the emergency exit last,
// because no story can be played after it.
func TestStories(t *testing.T) {
	t.Run("side by side", func(t *testing.T) {
		for _, s := range []told{
			// Those that take longest come first, so that none is left over at the end.
			{"a DaemonSet", daemonSet},
			{"a changed ConfigMap, alone and together", changedConfig},
			{"the analysis gets no answers", noAnswers},
			{"the primary is deleted", deletedPrimary},
			{"the namespace is deleted", deletedNamespace},
			{"the Canary is deleted", deletedCanary},
			{"a second change at 50%", secondChange},
			{"a good version is promoted", goodVersion},
			{"a Canary and a change in one apply", appliedTogether},
			{"the gateway comes late", lateGateway},
			{"a bad version is rolled back", badVersion},
			{"blue-green on Services", blueGreenOnServices},
			{"the target comes late", lateTarget},
			{"mistakes are denied", denied},
		} {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.tell(t)
			})
		}
	})
	for _, s := range []told{
		{"changes are noticed at once, silence between", noticed},
		{"a second change while Sluice is away", secondChangeUnattended},
		{"a mistake is stored while Sluice is away", invalidWhileAway},
		{"the controller is killed", killedController},
		{"chaos under load", chaos},
		{"the power fails", restartedCluster},
		{"Sluice is uninstalled unprepared", uninstalled},
		{"the emergency exit", emergencyExit},
	} {
		t.Run(s.name, s.tell)
	}
}
