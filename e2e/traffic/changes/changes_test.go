package changes

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// server answers by the path: gated with the gate's warning, others without,
// refused with HTTP 403, lost by closing the connection.
func server(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Method != http.MethodPatch || r.Header.Get("Content-Type") != "application/merge-patch+json" || err != nil || !json.Valid(body) {
			t.Errorf("%s %s %q, %v", r.Method, r.Header, body, err)
		}
		switch r.URL.Path {
		case "/gated":
			w.Header().Add("Warning", `299 - "another says so"`)
			w.Header().Add("Warning", `299 - "Gate: looked at it"`)
		case "/open":
			w.Header().Add("Warning", `299 - "another speaks of Gate: "`)
		case "/refused":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","message":"not so"}`)
		case "/lost":
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestEachAnswerIsTold(t *testing.T) {
	s := server(t)
	config := Config{Server: &rest.Config{Host: s.URL}, Gate: "Gate: ", MaxChanges: 5}
	for _, name := range []string{"gated", "open", "refused", "lost"} {
		config.Changes = append(config.Changes, Change{
			Name: name, Path: "/" + name + "?dryRun=All", Rate: 500,
			Patch: func(n int) string { return fmt.Sprintf(`{"n":%d}`, n) },
		})
	}
	g, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	// The bounds end it.
	g.sending.Wait()
	all := g.Stop()
	for name, want := range map[string]Summary{
		"gated": {Sent: 5, Gated: 5}, "open": {Sent: 5, Open: 5}, "refused": {Sent: 5, Refused: 5}, "lost": {Sent: 5, Lost: 5},
	} {
		got := all.Of(name).Summary()
		if got.Sent != want.Sent || got.Gated != want.Gated || got.Open != want.Open || got.Refused != want.Refused || got.Lost != want.Lost {
			t.Errorf("%s: %s", name, got)
		}
	}
	if refused := all.Of("refused").Summary(); refused.Problems["not so"] != 5 {
		t.Errorf("the reason is lost: %s", refused)
	}
	if all.Skipped != 0 || len(all.Of("gated", "open").Answers) != 10 {
		t.Errorf("%d skipped: %s", all.Skipped, all.Summary())
	}
}

func TestTooManyUnderWayAreSkipped(t *testing.T) {
	waiting := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-waiting }))
	defer s.Close()
	g, err := Start(t.Context(), Config{
		Server: &rest.Config{Host: s.URL}, Gate: "Gate: ", MaxChanges: 6,
		Changes: []Change{{Name: "x", Path: "/", Rate: 1000, MaxInFlight: 2, Patch: func(int) string { return "{}" }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for g.Recording().Skipped < 4 {
		if t.Context().Err() != nil {
			t.Fatal("nothing was skipped")
		}
	}
	close(waiting)
	if all := g.Stop(); all.Skipped != 4 || len(all.Answers) != 2 {
		t.Errorf("%d skipped, %d sent", all.Skipped, len(all.Answers))
	}
}

func TestSpans(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	r := recorder{}
	for i := range 5 {
		r.add(Answer{Change: "x", Start: start.Add(time.Duration(4-i) * time.Second), Latency: time.Duration(i+1) * time.Second, Status: 200})
	}
	all := r.snapshot()
	got := all.Between(start.Add(time.Second), start.Add(4*time.Second)).Summary()
	if got.Sent != 3 || got.Open != 3 || got.Rate != 1 || got.P50 != 3*time.Second || got.Max != 4*time.Second {
		t.Errorf("three in the middle are %s", got)
	}
	if n := all.Between(start.Add(2*time.Second), time.Time{}).Summary().Sent; n != 3 {
		t.Errorf("%d from the third on", n)
	}
}

func TestIncompleteConfigsAreRefused(t *testing.T) {
	change := Change{Name: "x", Path: "/", Rate: 1, Patch: func(int) string { return "{}" }}
	for name, config := range map[string]Config{
		"no server":  {Gate: "x", Changes: []Change{change}},
		"no gate":    {Server: &rest.Config{}, Changes: []Change{change}},
		"no changes": {Server: &rest.Config{}, Gate: "x"},
		"no rate":    {Server: &rest.Config{}, Gate: "x", Changes: []Change{{Name: "x", Path: "/", Patch: change.Patch}}},
	} {
		if g, err := Start(t.Context(), config); err == nil {
			g.Stop()
			t.Errorf("%s was accepted", name)
		}
	}
}
