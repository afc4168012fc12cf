package sluice

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/loadtester"
	"github.com/sluice-dev/sluice/reconciler"
	"github.com/sluice-dev/sluice/webhook"
)

// dashboard is what the tests look at of a dashboard of Grafana.
type dashboard struct {
	UID        string `json:"uid"`
	Templating struct {
		List []struct{ Name, Type, Query string } `json:"list"`
	} `json:"templating"`
	Panels []struct {
		Title   string                  `json:"title"`
		Targets []struct{ Expr string } `json:"targets"`
	} `json:"panels"`
}

// registry keeps the labels of metrics by the name that they are registered by.
type registry map[string][]string

var (
	described      = regexp.MustCompile(`fqName: "(\w+)".*constLabels: \{(.*)\}, variableLabels: \{(.*)\}`)
	variableName   = regexp.MustCompile(`\w+`)
	labelName      = regexp.MustCompile(`(\w+)=`)
	grafanaSetting = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$namespace", ".*", "$target", ".*")
	valuesOf       = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
)

// add notes what a collector describes, also where it has no series yet.
func (r registry) add(t *testing.T, c prometheus.Collector) {
	t.Helper()
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	for d := range descs {
		parts := described.FindStringSubmatch(d.String())
		if parts == nil {
			t.Fatalf("a metric describes itself as %s", d)
		}
		names := variableName.FindAllString(parts[3], -1)
		for _, constant := range labelName.FindAllStringSubmatch(parts[2], -1) {
			names = append(names, constant[1])
		}
		r[parts[1]] = names
	}
}

// told is a prometheus.Registerer that notes what others register.
type told struct {
	prometheus.Registerer
	t *testing.T
	registry
}

// Register implements prometheus.Registerer.
func (r told) Register(c prometheus.Collector) error {
	r.add(r.t, c)
	return nil
}

// registered are all metrics of Sluice's own.
func registered(t *testing.T) registry {
	t.Helper()
	r := registry{}
	for _, c := range slices.Concat(webhook.Collectors(), loadtester.Collectors()) {
		r.add(t, c)
	}
	if _, err := reconciler.NewMetrics(told{t: t, registry: r}, nil, "v", "p"); err != nil {
		t.Fatal(err)
	}
	if _, err := analysis.NewAlerter(analysis.AlerterOptions{Registry: told{t: t, registry: r}}); err != nil {
		t.Fatal(err)
	}
	return r
}

// judge returns what is wrong with a query, and notes in asked which metrics it names.
func (r registry) judge(query string, asked map[string]bool) []string {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(grafanaSetting.Replace(query))
	if err != nil {
		return []string{err.Error()}
	}
	var problems, names, used []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			names = append(names, n.Name)
			for _, m := range n.LabelMatchers {
				if m.Name != labels.MetricName {
					used = append(used, m.Name)
				}
			}
		case *parser.AggregateExpr:
			used = append(used, n.Grouping...)
		}
		return nil
	})
	for _, name := range names {
		base, histogram := name, strings.Contains(name, "_seconds")
		if histogram {
			base = name[:strings.Index(name, "_seconds")+len("_seconds")]
		}
		known, ok := r[base]
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("no metric %q is registered", base))
			continue
		case histogram && !slices.Contains([]string{"_bucket", "_sum", "_count"}, strings.TrimPrefix(name, base)):
			problems = append(problems, fmt.Sprintf("%s is a histogram: ask for its _bucket, _sum or _count", name))
		}
		asked[base] = true
		for _, label := range used {
			if !slices.Contains(known, label) && !(label == "le" && strings.HasSuffix(name, "_bucket")) {
				problems = append(problems, fmt.Sprintf("%s has no label %q", name, label))
			}
		}
	}
	return problems
}

func TestDashboardsAskForWhatIsRegistered(t *testing.T) {
	files, err := filepath.Glob("manifests/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	metrics, asked, uids := registered(t), map[string]bool{}, map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if d.UID == "" || uids[d.UID] {
			t.Errorf("%s: uid %q is empty or another's", file, d.UID)
		}
		uids[d.UID] = true
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			parts := valuesOf.FindStringSubmatch(v.Query)
			if parts == nil {
				t.Errorf("%s: variable %s: %q is no label_values(metric, label)", file, v.Name, v.Query)
				continue
			}
			for _, problem := range metrics.judge(fmt.Sprintf("count by (%s) (%s)", parts[2], parts[1]), asked) {
				t.Errorf("%s: variable %s: %s", file, v.Name, problem)
			}
		}
		for _, p := range d.Panels {
			if len(p.Targets) == 0 {
				t.Errorf("%s: panel %q asks nothing", file, p.Title)
			}
			for _, target := range p.Targets {
				for _, problem := range metrics.judge(target.Expr, asked) {
					t.Errorf("%s: panel %q: %s: %s", file, p.Title, target.Expr, problem)
				}
			}
		}
	}
	for name := range metrics {
		// How long a round took is shown by its parts.
		if !asked[name] && name != "flagger_canary_duration_seconds" {
			t.Errorf("no dashboard shows %s", name)
		}
	}
}

func TestTheRuleForDashboardsRefuses(t *testing.T) {
	metrics := registered(t)
	for query, want := range map[string]string{
		`sum(rate(sluice_decisions[5m]))`:                          `no metric "sluice_decisions"`,
		`sum(rate(sluice_decisions_total[5m])`:                     "unclosed",
		`sum by (namespace) (sluice_decisions_total)`:              `no label "namespace"`,
		`sluice_alerts_total{severity="error"}`:                    `no label "severity"`,
		`rate(sluice_decision_duration_seconds[5m])`:               "is a histogram",
		`rate(sluice_decisions_total[$__interval])`:                "unexpected",
		`sum by (le) (rate(sluice_alerts_total{outcome="x"}[5m]))`: `no label "le"`,
	} {
		if problems := metrics.judge(query, map[string]bool{}); len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("judge(%s) = %q, want %q", query, problems, want)
		}
	}
}

func TestDashboardsAreShippedWhole(t *testing.T) {
	text, err := os.ReadFile("manifests/dashboards/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var k struct{ ConfigMapGenerator []struct{ Files []string } }
	if err := yaml.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	var shipped []string
	for _, g := range k.ConfigMapGenerator {
		for _, file := range g.Files {
			shipped = append(shipped, filepath.Join("manifests/dashboards", file))
		}
	}
	files, err := filepath.Glob("manifests/dashboards/*.json")
	slices.Sort(shipped)
	if err != nil || !slices.Equal(files, shipped) {
		t.Errorf("dashboards %v, shipped %v, %v", files, shipped, err)
	}
}
