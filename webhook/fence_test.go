package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func fencesWith(t *testing.T, then func(context.Context, *v1beta1.Canary, v1beta1.Fence) error) fences {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return fences{fencer: &fencer{then: then}, metrics: m, now: func() time.Time { return time.Unix(7, 0) }}
}

// Whatever becomes of one fence, the others are written, and the person is told what really follows, the failures first.
func TestFenceFailuresAreTold(t *testing.T) {
	canaries := []*v1beta1.Canary{canary("test", "a"), canary("test", "b"), canary("test", "c"), canary("test", "d")}
	f := fencesWith(t, func(_ context.Context, c *v1beta1.Canary, fence v1beta1.Fence) error {
		if fence.Cause != "configmap/page" || !fence.At.Time.Equal(time.Unix(7, 0)) {
			return fmt.Errorf("fence %+v", fence)
		}
		switch c.Name {
		case "b":
			return errors.New("the API server is away")
		case "c":
			panic("a defect")
		case "d":
			// Neither answers nor heeds the context.
			select {}
		}
		return nil
	})
	got := f.fence(t.Context(), "configmap/page", canaries, []string{"about a", "about b", "about c", "about d", "about another"})
	if len(got) != 5 || got[3] != "about a" || got[4] != "about another" {
		t.Fatalf("warnings %q, want three failures, then what was there about the others", got)
	}
	for i, want := range []string{"canary of b before this change lands; the controller does so as soon as it sees the change: the API server is away",
		"panic: a defect", "not done in time"} {
		if !strings.Contains(got[i], want) {
			t.Errorf("warning %q, want %q in it", got[i], want)
		}
	}
	if got := counted(t, f.metrics.fences.WithLabelValues("failed")); got != 3 {
		t.Errorf("%v failures counted, want 3", got)
	}
	if got := counted(t, f.metrics.fences.WithLabelValues("written")); got != 1 {
		t.Errorf("%v fences counted, want 1", got)
	}
}

// A config that many applications share makes no storm of writes.
func TestFencesAreBounded(t *testing.T) {
	var now, most atomic.Int64
	f := fencesWith(t, func(context.Context, *v1beta1.Canary, v1beta1.Fence) error {
		n := now.Add(1)
		for {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		now.Add(-1)
		return nil
	})
	var canaries []*v1beta1.Canary
	for i := range 200 {
		canaries = append(canaries, canary("test", fmt.Sprint(i)))
	}
	warnings := slices.Repeat([]string{"w"}, 200)
	if got := f.fence(t.Context(), "secret/shared", canaries, warnings); !slices.Equal(got, warnings) {
		t.Errorf("%d warnings changed, want all fences written", len(got))
	}
	if m := most.Load(); m > maxFences {
		t.Errorf("%d at a time, want at most %d", m, maxFences)
	}
}

func counted(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
