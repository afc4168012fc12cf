package webhook

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// The answer takes three quarters of the time that the API server says it waits, and each part of the work its share of them.
func TestBudgetFollowsTheTimeout(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"?timeout=2s":    Budget,
		"":               Budget,
		"?timeout=long":  Budget,
		"?timeout=-2s":   Budget,
		"?timeout=20s":   15 * time.Second,
		"?timeout=1s":    750 * time.Millisecond,
		"?timeout=1000h": 22500 * time.Millisecond,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, PathWorkloads+query, nil)
		ctx := withBudget(t.Context(), r)
		if got := budgetOf(ctx); got != want {
			t.Errorf("%q: %s for an answer, want %s", query, got, want)
		}
		before := time.Now()
		part, cancel := spend(ctx, lookupBudget)
		after := time.Now()
		defer cancel()
		if end, ok := part.Deadline(); !ok || end.Before(before.Add(want/3)) || end.After(after.Add(want/3)) {
			t.Errorf("%q: look-ups end %s after they began, want %s", query, end.Sub(before), want/3)
		}
	}
	if got := budgetOf(t.Context()); got != Budget {
		t.Errorf("%s for an answer to nobody's request, want %s", got, Budget)
	}
}
