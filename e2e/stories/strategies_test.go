//go:build e2e

package stories

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster/addons"
	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

// strategy has the story's Canary ask for a way of its own.
func strategy(lines ...string) func(*canary) {
	return func(c *canary) { c.Strategy = "    " + strings.Join(lines, "\n    ") }
}

// moment is when the Canary was first stored as wanted, from a time on; the story fails if it never was.
func (s *story) moment(what string, from time.Time, wanted func(harness.Moment) bool) time.Time {
	s.Helper()
	for _, m := range s.timeline.Since(from) {
		if m.Canary != nil && wanted(m) {
			return m.Stored()
		}
	}
	s.Fatalf("it was never seen that %s", what)
	return time.Time{}
}

func promoting(m harness.Moment) bool { return m.Phase() == v1beta1.PhasePromoting }

// asking is a group of users of its own.
func (s *story) asking(change func(*traffic.Config)) *traffic.Generator {
	s.Helper()
	config := stage.Users(s.app)
	config.Rate = 20
	config.Header = config.Header.Clone()
	change(&config)
	users, err := traffic.Start(s.ctx, config)
	s.ok(err)
	s.Cleanup(func() { users.Stop() })
	return users
}

// met fails the story if any of a group's requests in a time failed or was answered by another version, or if there were next to none.
func (s *story) met(who string, r traffic.Recording, from, to time.Time, version string) {
	s.Helper()
	summary := r.Between(from, to).Summary()
	if summary.Requests < 20 || summary.ByVersion[version].Requests != summary.Requests {
		s.Errorf("%s were answered by %v in %d requests; want %s alone", who, summary.ByVersion, summary.Requests, version)
	}
	if all := r.Summary(); all.Failed > 0 {
		s.Errorf("%d of %d requests of %s failed: %s", all.Failed, all.Requests, who, all.Failure())
	}
	s.Logf("%s: %d requests to %s", who, summary.Requests, version)
}

// insiders tells of an A/B test: who says by header or cookie to be an insider meets the new version from the first iteration to the promotion, and nobody
// else does before it is promoted.
func insiders(t *testing.T) {
	s := begin(t, "insiders")
	s.adopt(strategy(
		"iterations: 3", "match:", "- headers:", "    x-user:", "      exact: insider", "- headers:", "    cookie:", `      regex: "^(.*?;)?(insider=yes)(;.*)?$"`))
	byHeader := s.asking(func(c *traffic.Config) { c.Header.Set("X-User", "insider") })
	byCookie := s.asking(func(c *traffic.Config) { c.Header.Set("Cookie", "insider=yes; theme=dark") })
	notQuite := s.asking(func(c *traffic.Config) {
		c.Header.Set("X-User", "outsider")
		c.Header.Set("Cookie", "insider=no")
	})
	since := time.Now()
	s.deploy("v2")
	s.started("")
	s.finished(v1beta1.PhaseSucceeded)
	promoted := s.moment("the version is promoted", since, promoting)
	s.unharmed(since)
	s.met("users", s.users.Recording().Between(since, time.Time{}), since, promoted, "v1")
	s.met("who is not quite an insider", notQuite.Recording(), since, promoted, "v1")
	// A gateway takes a moment to follow the route; whom it has sent to the canary once stays there.
	s.met("insiders by header", byHeader.Recording(), firstAnswered(byHeader.Recording(), "v2"), promoted, "v2")
	s.met("insiders by cookie", byCookie.Recording(), firstAnswered(byCookie.Recording(), "v2"), promoted, "v2")
	s.primaryRuns("v2")
	s.eventually("all users are served by v2", func() bool {
		recent := s.users.Recording().Between(time.Now().Add(-time.Second), time.Time{}).Summary()
		return recent.Requests > 10 && recent.ByVersion["v2"].Requests == recent.Requests
	})
}

// blueGreenBehindGateway tells of iterations that only tests notice, and of all users moving at once to what passed them.
func blueGreenBehindGateway(t *testing.T) {
	s := begin(t, "allatonce")
	s.adopt(func(c *canary) {
		strategy("iterations: 1")(c)
		measured(c)
	})
	since := time.Now()
	s.deploy("v2")
	s.started("")
	s.finished(v1beta1.PhaseSucceeded)
	moved := s.moment("all users are on the canary", since, func(m harness.Moment) bool { return m.Canary.Status.CanaryWeight == 100 })
	promoted := s.moment("the version is promoted", since, promoting)
	s.unharmed(since)
	s.met("users", s.users.Recording().Between(since, time.Time{}), since, moved, "v1")
	s.met("users", s.users.Recording().Between(since, time.Time{}), firstAnswered(s.users.Recording(), "v2"), promoted, "v2")
	for _, m := range s.timeline.Since(since) {
		if m.RouteWeight != 0 && m.RouteWeight != 100 {
			t.Errorf("the route was opened to %d%%", m.RouteWeight)
		}
	}
	s.primaryRuns("v2")
}

// visitor is a user with a browser: it keeps the cookies that it is given. What it has seen is read once it has left.
type visitor struct {
	client  *http.Client
	answers []answer
	failed  []string
}

// answer is which version answered a visitor when.
type answer struct {
	at      time.Time
	version string
}

// visit asks until ctx ends.
func (v *visitor) visit(ctx context.Context, config traffic.Config) {
	beat := time.NewTicker(150 * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		at := time.Now()
		version, _, err := v.ask(ctx, config, "")
		if ctx.Err() != nil {
			return
		}
		v.answers = append(v.answers, answer{at, version})
		if err != "" {
			v.failed = append(v.failed, err)
		}
	}
}

// ask asks once, as somebody who brings a cookie where one is given, and returns who answered, with which cookies.
func (v *visitor) ask(ctx context.Context, config traffic.Config, cookie string) (version string, given []string, failure string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+config.Host+"/", http.NoBody)
	if err != nil {
		return "", nil, err.Error()
	}
	request.Header = config.Header.Clone()
	if cookie != "" {
		request.Header.Set("Cookie", cookie)
	}
	response, err := v.client.Do(request)
	if err != nil {
		return "", nil, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil || response.StatusCode != http.StatusOK {
		return "", nil, response.Status
	}
	return config.Version(response.StatusCode, response.Header, body), response.Header.Values("Set-Cookie"), ""
}

// stickyUsers tells of visitors with cookies: whom the canary has answered once it answers until the promotion, and afterwards nobody is held by a cookie
// any more. Users return to the promoted primary by steps.
func stickyUsers(t *testing.T) {
	const group = 12
	s := begin(t, "sticky")
	s.adopt(strategy(
		"stepWeights: [20, 50]", "stepWeightPromotion: 25", "sessionAffinity:", "  cookieName: seen-canary", "  primaryCookieName: seen-primary", "  path: /"))
	config := stage.Users(s.app)
	browser := func() *visitor {
		jar, err := cookiejar.New(nil)
		s.ok(err)
		// Cookies belong to the host that is asked for, whose address only the gateway's stands for.
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			return config.Dial(ctx, network, addons.TraefikAddress)
		}
		return &visitor{client: &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}}
	}
	visitors := make([]*visitor, group)
	visiting, leave := context.WithCancel(s.ctx)
	defer leave()
	var all sync.WaitGroup
	for i := range visitors {
		visitors[i] = browser()
		all.Go(func() { visitors[i].visit(visiting, config) })
	}
	since := time.Now()
	s.deploy("v2")
	s.started("")
	c := s.finished(v1beta1.PhaseSucceeded)
	s.eventually("all users are served by v2", func() bool {
		recent := s.users.Recording().Between(time.Now().Add(-time.Second), time.Time{}).Summary()
		return recent.Requests > 10 && recent.ByVersion["v2"].Requests == recent.Requests
	})
	leave()
	all.Wait()
	s.unharmed(since)
	s.moment("users return by steps", since, func(m harness.Moment) bool { return promoting(m) && m.Canary.Status.CanaryWeight == 25 })
	promoted := s.moment("the version is promoted", since, promoting)
	kept := 0
	for i, v := range visitors {
		met := slices.IndexFunc(v.answers, func(a answer) bool { return a.version == "v2" })
		if len(v.failed) > 0 || met < 0 {
			t.Errorf("visitor %d: of %d visits %d failed: %v", i, len(v.answers), len(v.failed), v.failed)
			continue
		}
		if v.answers[met].at.After(promoted) {
			// The primary was being given the new version already.
			continue
		}
		kept++
		for _, a := range v.answers[met:] {
			if a.version != "v2" {
				t.Errorf("visitor %d was answered by %s at %s, though the canary had answered it at %s", i, a.version, a.at, v.answers[met].at)
				break
			}
		}
	}
	t.Logf("%d of %d visitors were kept on the canary", kept, group)
	if kept == 0 {
		t.Error("no visitor met the canary: the story proves nothing")
	}
	old := c.Status.PreviousSessionAffinityCookie
	if old == "" || c.Status.SessionAffinityCookie != "" || c.Status.PrimarySessionAffinityCookie != "" {
		t.Errorf("after the rollout the cookies are %q and %q, the previous %q", c.Status.SessionAffinityCookie, c.Status.PrimarySessionAffinityCookie, old)
	}
	version, given, failure := browser().ask(s.ctx, config, "theme=dark; "+old)
	if version != "v2" || failure != "" || !slices.ContainsFunc(given, func(c string) bool { return strings.HasPrefix(c, old+"; Max-Age=-1") }) {
		t.Errorf("who brings %s is answered by %q %s and given %v; want it taken back", old, version, failure, given)
	}
	s.primaryRuns("v2")
}
