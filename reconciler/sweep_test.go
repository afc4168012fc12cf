package reconciler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// Ten revisions are kept; the one to go back to, and the one that is rolled out, however old they are.
func TestHistoryIsBounded(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &world{canary: &v1beta1.Canary{}}
	for i := range 15 {
		s := revision.Stored{Digest: fmt.Sprintf("r%02d", i)}
		s.Taken = start.Add(time.Duration(i) * time.Hour)
		w.snapshots = append(w.snapshots, s)
	}
	w.snapshots[0].Promoted = start
	w.canary.Status.Rollout = &v1beta1.RolloutStatus{Revision: "r01"}
	w.canary.Status.CurrentRevision = "r02"
	var swept []string
	for _, s := range w.outdated() {
		swept = append(swept, s.Digest)
	}
	slices.Sort(swept)
	if want := []string{"r03", "r04", "r05", "r06", "r07"}; !slices.Equal(swept, want) {
		t.Errorf("swept %v, want %v", swept, want)
	}
	w.snapshots = w.snapshots[:10]
	if swept := w.outdated(); len(swept) != 0 {
		t.Errorf("ten are there, and %d are swept", len(swept))
	}
}
