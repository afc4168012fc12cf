//go:build e2e

package stories

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// changedConfig promotes a page that is changed in its ConfigMap alone, then together with the Deployment in one apply, in both orders: each is one
// rollout, users see a page by its own steps only, and no pod of the primary ever shows another page or environment than it started with.
func changedConfig(t *testing.T) {
	s := begin(t, "config")
	s.apply(s.page("c1") + s.reader("v1"))
	s.ok(stage.RolledOut(s.ctx, s.key.Namespace, s.key.Name))
	s.apply(s.manifest(func(c *canary) { c.Interval = "4s" }))
	s.phase(rollout, v1beta1.PhaseInitialized)
	s.ask()
	watching, stop := context.WithCancel(s.ctx)
	defer stop()
	shown := &shownByPods{}
	go shown.watch(watching, s)
	since := time.Now()
	last := ""
	for i, manifests := range []string{s.page("c2"), s.page("c3") + s.reader("v3"), s.reader("v4") + s.page("c4")} {
		s.apply(manifests)
		c := s.until("rolls out the change", soon, func(c *v1beta1.Canary) bool {
			return c.Status.Rollout != nil && c.Status.Rollout.Revision != last && c.Status.CanaryWeight > 0
		})
		last = c.Status.Rollout.Revision
		s.finished(v1beta1.PhaseSucceeded)
		s.onlyByItsSteps(fmt.Sprintf("c%d", i+2), last)
	}
	s.unharmed(since)
	stop()
	shown.check(t)
	if n := rolloutsIn(s.timeline.Since(since)); n != 3 {
		t.Errorf("%d rollouts for three changes", n)
	}
}

// optedOutConfig takes a ConfigMap out of tracking and changes it in one apply, while half of the users are on pods that read it, and has those pods
// start again at that very moment, so that they hold the new content at once. No user meets it before it was analysed.
func optedOutConfig(t *testing.T) {
	s := begin(t, "opted")
	s.apply(s.page("c1") + s.reader("v1"))
	s.ok(stage.RolledOut(s.ctx, s.key.Namespace, s.key.Name))
	s.initialise(nil)
	s.ask()
	s.apply(s.page("c2"))
	first := s.half()
	s.eventually("c2 answers users", func() bool { return !s.served("c2").IsZero() })
	since := time.Now()
	changed := strings.Replace(s.page("c3"), "metadata: {", "metadata: {annotations: {"+v1beta1.AnnotationConfigTracking+": disabled}, ", 1)
	landed, err := stage.Cluster.Kubectl(s.ctx, changed, "apply", "-f", "-", "--output=jsonpath={.metadata.resourceVersion}")
	s.ok(err)
	s.kubectl("delete", "pods", "--namespace", s.key.Namespace, "--selector=app="+s.key.Name, "--wait=false")
	second := s.started(first)
	s.closedBefore(since, landed)
	s.finished(v1beta1.PhaseSucceeded)
	s.onlyByItsSteps("c3", second.Status.Rollout.Revision)
	s.eventually("all users are served by c3", func() bool {
		recent := s.users.Recording().Between(time.Now().Add(-time.Second), time.Time{}).Summary()
		return recent.Requests > 10 && recent.ByVersion["c3"].Requests == recent.Requests
	})
}

// closedBefore fails the story unless the route was closed before a change landed that was made at a time, by the versions of both.
func (s *story) closedBefore(since time.Time, landed string) {
	s.Helper()
	change, err := strconv.ParseUint(strings.TrimSpace(landed), 10, 64)
	s.ok(err)
	for _, m := range s.timeline.Since(since) {
		if m.At.Before(since) || m.RouteWeight != 0 {
			continue
		}
		closed, err := strconv.ParseUint(m.RouteVersion, 10, 64)
		s.ok(err)
		s.Logf("the route was closed at version %d, the change landed at %d", closed, change)
		if closed > change {
			s.Error("the change landed while users were on pods that read it")
		}
		return
	}
	s.Error("the route was never closed")
}

// rolloutsIn counts the rollouts that anything was done for.
func rolloutsIn(moments []harness.Moment) int {
	ids := map[string]bool{}
	for _, m := range moments {
		if stage := m.Stage(); stage != "" && stage != v1beta1.StageSettling {
			ids[m.Canary.Status.Rollout.ID] = true
		}
	}
	return len(ids)
}

// page is the ConfigMap with a page that names itself, and the same name for the environment.
func (s *story) page(name string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s-page, namespace: %s}\ndata:\n  PAGE: page-%s\n  vue.html: <p>release:%s</p>\n",
		s.key.Name, s.key.Namespace, name, name)
}

// reader is the Deployment of a version, which reads the ConfigMap as files and as environment.
func (s *story) reader(version string) string {
	s.Helper()
	app := s.app
	app.Version = version
	manifests, err := app.Manifests(stage)
	s.ok(err)
	_, deployment, _ := strings.Cut(manifests, "apiVersion: apps/v1")
	reads := fmt.Sprintf("          envFrom: [{configMapRef: {name: %s-page}}]\n          ports:\n", s.key.Name)
	return "---\napiVersion: apps/v1" + strings.Replace(deployment, "          ports:\n", reads, 1)
}

// shownByPods is what pods of the primary show when they are asked themselves, by pod.
type shownByPods struct {
	mu    sync.Mutex
	pages map[string]map[string]int
}

// watch asks all pods of the primary again and again.
func (p *shownByPods) watch(ctx context.Context, s *story) {
	p.pages = map[string]map[string]int{}
	web := &http.Client{Transport: &http.Transport{DialContext: stage.Cluster.DialContext}, Timeout: 2 * time.Second}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		var pods corev1.PodList
		if stage.Client.List(ctx, &pods, client.InNamespace(s.key.Namespace), client.MatchingLabels{"app": s.primary().Name}) == nil {
			for _, pod := range pods.Items {
				if pod.Status.PodIP == "" {
					continue
				}
				for _, path := range []string{"/", "/env"} {
					if shows := ask(ctx, web, "http://"+pod.Status.PodIP+":9898"+path); shows != "" {
						p.note(pod.Name, shows)
					}
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask returns the name of the page in an answer, "" when there is none: pods come and go.
func ask(ctx context.Context, web *http.Client, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	req.Header.Set("User-Agent", "Mozilla/5.0")
	resp, err := web.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return ""
	}
	if strings.HasSuffix(url, "/env") {
		_, after, _ := strings.Cut(string(body), "PAGE=page-")
		name, _, _ := strings.Cut(after, `"`)
		return name
	}
	return harness.VersionOf(resp.StatusCode, resp.Header, body)
}

func (p *shownByPods) note(pod, page string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pages[pod] == nil {
		p.pages[pod] = map[string]int{}
	}
	p.pages[pod][page]++
}

// check fails the test if a pod showed two pages, or if not every page was shown by two pods.
func (p *shownByPods) check(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pods := map[string]int{}
	for pod, pages := range p.pages {
		if len(pages) != 1 {
			t.Errorf("pod %s of the primary showed %v", pod, pages)
		}
		for page := range pages {
			pods[page]++
		}
	}
	t.Logf("pods of the primary by page: %v", p.pages)
	if got := slices.Sorted(maps.Keys(pods)); !slices.Equal(got, []string{"c1", "c2", "c3", "c4"}) {
		t.Errorf("pods of the primary showed the pages %v", got)
	}
}
