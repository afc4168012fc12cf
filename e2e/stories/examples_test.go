//go:build e2e

package stories

import (
	"context"
	_ "embed"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/cluster/addons"
	"github.com/sluice-dev/sluice/e2e/harness"
	"github.com/sluice-dev/sluice/e2e/traffic"
)

//go:embed examples.yaml
var examplesNeed string

const (
	gatewayTutorial   = "tutorials/gatewayapi-progressive-delivery.md"
	blueGreenTutorial = "tutorials/kubernetes-blue-green.md"
	operatorTutorial  = "tutorials/prometheus-operator.md"
	operatorNamespace = "docs-operator"
)

// sizer is the tutorials' autoscaler. Its limit is one that the stories' small requests do not reach.
const sizer = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: {{ .Name }}, namespace: {{ .Namespace }}}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .Name }}}
  minReplicas: 2
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 500m}}}]
`

// documented is a Canary of Flagger's documentation and what is said there of its rollout.
type documented struct {
	// namespace is the example's own here; in the documentation it is always "test".
	namespace string
	file      string
	number    int
	// weights that are passed on the way, in order; iterations that are reached.
	weights    []int32
	iterations int32
	// insider is a header of requests that meet the canary alone.
	insider http.Header
	// cookie is given to who met the canary.
	cookie string
	// failing is whether the automated rollback is played as well.
	failing bool
	// scaled is whether the tutorial has an autoscaler.
	scaled bool
	// port of the application's Service.
	port string
	// mirror is whether copies of requests are asked for. The gateway here makes none: the example is denied.
	mirror bool
}

// documentedExamples plays the Canaries of Flagger's tutorials for Gateway API and Services, side by side, to the phases and the end that the
// tutorials tell.
func documentedExamples(t *testing.T) {
	need, err := harness.Render("examples.yaml", examplesNeed, struct {
		MetricsServer string
		// Templates are the namespaces with the tutorials' metric templates.
		Templates []string
	}{harness.MetricsServer, []string{"flagger-system", operatorNamespace}})
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Apply(t.Context(), need); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		if _, err := stage.Cluster.Kubectl(ctx, need, "delete", "--ignore-not-found", "--wait=false", "-f", "-"); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	steps := []int32{10, 20, 30, 40, 50}
	insider := http.Header{"Cookie": {"type=insider"}}
	examples := map[string]documented{
		"canary":              {namespace: "docs-canary", file: gatewayTutorial, number: 1, scaled: true, weights: steps, failing: true},
		"A/B testing":         {namespace: "docs-abtest", file: gatewayTutorial, number: 2, scaled: true, iterations: 10, insider: insider},
		"session affinity":    {namespace: "docs-sticky", file: gatewayTutorial, number: 3, scaled: true, weights: steps, cookie: "flagger-cookie"},
		"traffic mirroring":   {namespace: "docs-mirror", file: gatewayTutorial, number: 4, mirror: true},
		"blue/green":          {namespace: "docs-bluegreen", file: blueGreenTutorial, number: 1, scaled: true, iterations: 10, port: "9898"},
		"Prometheus Operator": {namespace: operatorNamespace, file: operatorTutorial, number: 1, iterations: 10, port: "80"},
	}
	var all sync.WaitGroup
	for name, e := range examples {
		all.Go(func() { t.Run(name, func(t *testing.T) { e.play(t) }) })
	}
	all.Wait()
}

// adapted is the example with what a user changes, and with an interval that a test can wait for.
func (e documented) adapted(s *story) *unstructured.Unstructured {
	o, err := harness.FlaggerExample(s.ctx, e.file, e.number)
	s.ok(err)
	o.SetNamespace(e.namespace)
	set := func(value any, path ...string) { s.ok(unstructured.SetNestedField(o.Object, value, path...)) }
	provider := "kubernetes"
	if e.file == gatewayTutorial {
		// Flagger is told so by a flag, and all examples have one host.
		provider = "gatewayapi:v1"
		set([]any{e.host()}, "spec", "service", "hosts")
	}
	set(provider, "spec", "provider")
	set(harness.MetricsServer, "spec", "metricsServer")
	set("5s", "spec", "analysis", "interval")
	hooks, _, err := unstructured.NestedSlice(o.Object, "spec", "analysis", "webhooks")
	s.ok(err)
	// Sluice's load tester runs no scripts.
	hooks = slices.DeleteFunc(hooks, func(h any) bool {
		kind, _, _ := unstructured.NestedString(h.(map[string]any), "metadata", "type")
		return kind == "bash"
	})
	for _, h := range hooks {
		command, _, err := unstructured.NestedString(h.(map[string]any), "metadata", "cmd")
		s.ok(err)
		command = strings.NewReplacer("www.example.com", e.host(), "podinfo-canary.test", "podinfo-canary."+e.namespace).Replace(command)
		s.ok(unstructured.SetNestedField(h.(map[string]any), command, "metadata", "cmd"))
	}
	s.ok(unstructured.SetNestedSlice(o.Object, hooks, "spec", "analysis", "webhooks"))
	return o
}

func (e documented) host() string { return e.namespace + ".example.com" }

// traffic is that of the example's users.
func (e documented) traffic(s *story) traffic.Config {
	config := stage.Users(s.app)
	config.Rate, config.Host, config.Header = 20, e.host(), config.Header.Clone()
	if e.file != gatewayTutorial {
		config.URL, config.Host = "http://podinfo."+e.namespace+":"+e.port+"/", ""
	}
	return config
}

func (e documented) play(t *testing.T) {
	s := beginWith(t, harness.App{Kind: "Deployment", Namespace: e.namespace, Name: "podinfo", Version: "v1", Scaled: e.scaled})
	generated := []string{"deployment/podinfo-primary", "service/podinfo", "service/podinfo-canary", "service/podinfo-primary"}
	if e.file == gatewayTutorial {
		generated = append(generated, "httproute/podinfo")
	}
	if e.scaled {
		autoscaler, err := harness.Render("sizer", sizer, s.canary())
		s.ok(err)
		s.apply(autoscaler)
		generated = append(generated, "hpa/podinfo-primary")
	}
	o := e.adapted(s)
	if e.mirror {
		s.mirrorDenied(o)
		return
	}
	s.ok(s.applied(o))
	s.phase(rollout, v1beta1.PhaseInitialized)
	for _, object := range generated {
		s.kubectl("--namespace", e.namespace, "get", object)
	}
	users, err := traffic.Start(s.ctx, e.traffic(s))
	s.ok(err)
	s.users = users
	s.eventually("users are answered", func() bool {
		results := s.users.Recording().Results
		return len(results) > 5 && !results[len(results)-1].Failed()
	})

	since := time.Now()
	insiders := e.insiders(s)
	s.deploy("v2")
	s.started("")
	if e.cookie != "" {
		s.eventually("the canary's answers give the cookie", func() bool { return e.sticks(s) })
	}
	if c := s.finished(v1beta1.PhaseSucceeded); c.Status.CanaryWeight != 0 {
		t.Errorf("the rollout ended at weight %d", c.Status.CanaryWeight)
	}
	s.eventually("the end is in the timeline", func() bool { return s.timeline.Last().Phase() == v1beta1.PhaseSucceeded })
	e.tells(s, since)
	s.primaryRuns("v2")
	if n := s.number("deployment", "podinfo", "{.spec.replicas}"); n != 0 {
		t.Errorf("after the rollout the target has %d replicas", n)
	}
	s.unharmed(since)
	if insiders != nil {
		begun := s.moment("requests that match go to the canary", since, func(m harness.Moment) bool { return m.Canary.Status.CanaryMatched })
		s.met("insiders", insiders.Recording(), begun.Add(2*settled), s.moment("the version is promoted", since, promoting), "v2")
	}
	if e.failing {
		s.deploy("bad3")
		if c := s.finished(v1beta1.PhaseFailed); c.Status.CanaryWeight != 0 {
			t.Errorf("the rollback left weight %d", c.Status.CanaryWeight)
		}
		s.primaryRuns("v2")
	}
}

func (s *story) applied(o *unstructured.Unstructured) error {
	text, err := yaml.Marshal(o.Object)
	s.ok(err)
	return stage.Apply(s.ctx, string(text))
}

// mirrorDenied fails the story unless a Canary is refused for copies that its gateway does not make.
func (s *story) mirrorDenied(o *unstructured.Unstructured) {
	s.Helper()
	err := s.applied(o)
	if err == nil {
		s.Fatal("copies of requests were accepted")
	}
	for _, want := range []string{"spec.analysis.mirror", "Gateway istio-ingress/gateway (class traefik)", "HTTPRouteRequestMirror"} {
		if !strings.Contains(err.Error(), want) {
			s.Errorf("the refusal does not mention %q: %v", want, err)
		}
	}
}

// sticks tells whether a new visitor was answered by the canary, with the cookie and its age.
func (e documented) sticks(s *story) bool {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return stage.Cluster.DialContext(ctx, network, addons.TraefikAddress)
	}
	v := &visitor{client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
	version, given, _ := v.ask(s.ctx, e.traffic(s), "")
	return version == "v2" && slices.ContainsFunc(given, func(c string) bool { return strings.HasPrefix(c, e.cookie+"=") && strings.Contains(c, "Max-Age=21600") })
}

// insiders ask as those do whom an A/B test is for; nil without one.
func (e documented) insiders(s *story) *traffic.Generator {
	if e.insider == nil {
		return nil
	}
	return s.asking(func(c *traffic.Config) {
		c.Host = e.host()
		maps.Copy(c.Header, e.insider)
	})
}

// tells compares what was seen with what the tutorial tells.
func (e documented) tells(s *story, since time.Time) {
	s.Helper()
	var phases []v1beta1.CanaryPhase
	var weights []int32
	iterations := int32(0)
	for _, m := range s.timeline.Since(since) {
		if m.Canary == nil {
			continue
		}
		if p := m.Phase(); !slices.Contains(phases, p) {
			phases = append(phases, p)
		}
		if w := m.Canary.Status.CanaryWeight; w > 0 && m.Phase() == v1beta1.PhaseProgressing && !slices.Contains(weights, w) {
			weights = append(weights, w)
		}
		iterations = max(iterations, m.Canary.Status.Iterations)
	}
	want := []v1beta1.CanaryPhase{v1beta1.PhaseInitialized, v1beta1.PhaseProgressing, v1beta1.PhasePromoting, v1beta1.PhaseFinalising, v1beta1.PhaseSucceeded}
	if !slices.Equal(phases, want) {
		s.Errorf("the phases were %v, want %v", phases, want)
	}
	if e.weights != nil && !slices.Equal(weights, e.weights) {
		s.Errorf("the weights were %v, want %v", weights, e.weights)
	}
	if iterations < e.iterations {
		s.Errorf("%d iterations were reached, want %d", iterations, e.iterations)
	}
}
