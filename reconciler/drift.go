package reconciler

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Bounds of what is told of routes that somebody else changes again and again, for each Canary: every one counts in the metrics.
const (
	// driftsTold is how many are told one by one.
	driftsTold = 3
	// driftQuiet is how long there must have been none before they are told one by one again.
	driftQuiet = 10 * time.Minute
	// driftFields is how many fields of one change are told.
	driftFields = 3
	// driftValue is how many bytes of a value are told.
	driftValue = 80
)

// drifts counts, for each Canary, the changes by others that followed each other.
type drifts struct {
	mu    sync.Mutex
	known map[types.NamespacedName]driftsOfOne
}

type driftsOfOne struct {
	n    int
	last time.Time
}

// next counts one more change and returns the number of it among those that followed each other, from 1.
func (d *drifts) next(canary types.NamespacedName, now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[types.NamespacedName]driftsOfOne{}
	}
	one := d.known[canary]
	if now.Sub(one.last) >= driftQuiet {
		one.n = 0
	}
	one.n, one.last = one.n+1, now
	d.known[canary] = one
	return one.n
}

func (d *drifts) forget(canary types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, canary)
}

// Drifted tells that somebody else changed an object of the Canary's route and that it was put back: an event for each of the first ones, then one that says
// that it goes on, then none until it has been quiet.
func (r *Reconciler) Drifted(c *v1beta1.Canary, d core.Drift) {
	r.Metrics.drifts.WithLabelValues(d.Kind).Inc()
	switch n := r.drifts.next(client.ObjectKeyFromObject(c), r.Clock.Now()); {
	case n <= driftsTold:
		r.record(c, "Warning", "RouteRepaired", "RepairRoute", driftWords(d))
	case n == driftsTold+1:
		r.record(c, "Warning", "RouteContested", "RepairRoute", driftWords(d)+fmt.Sprintf(
			". This happens again and again: end what changes it. More of it is put back and counted, but not told until there was none for %s", driftQuiet))
	}
}

// driftWords says what was changed by whom and what it is again.
func driftWords(d core.Drift) string {
	object := d.Kind + " " + d.Name
	if d.Deleted {
		return object + " was deleted by somebody else and is there again"
	}
	by := "somebody else"
	if d.By != "" {
		by = fmt.Sprintf("field manager %q", d.By)
	}
	var fields []string
	for _, f := range d.Fields[:min(len(d.Fields), driftFields)] {
		fields = append(fields, fmt.Sprintf("%s was %s and is %s again", f.Path, driftText(f.Was), driftText(f.Now)))
	}
	if more := len(d.Fields) - driftFields; more > 0 {
		fields = append(fields, fmt.Sprintf("and %d more fields", more))
	}
	return fmt.Sprintf("%s was changed by %s and put back: %s", object, by, strings.Join(fields, "; "))
}

func driftText(value string) string {
	if value == "" {
		return "absent"
	}
	if len(value) > driftValue {
		return strings.ToValidUTF8(value[:driftValue], "") + "…"
	}
	return value
}
