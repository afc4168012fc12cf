package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const metrics = `# HELP apiserver_admission_webhook_request_total x
apiserver_admission_webhook_request_total{code="200",name="targets.sluice.dev",operation="UPDATE",rejected="false",type="admit"} 7
apiserver_admission_webhook_request_total{code="200",name="noop-targets.sluice.dev",operation="UPDATE",rejected="false",type="admit"} 5
apiserver_admission_webhook_request_total_other{name="targets.sluice.dev"} 9
sluice_admission_requests_total{dry_run="false",operation="UPDATE",outcome="failed",path="/a"} 1e+01
`

func TestSum(t *testing.T) {
	for name, want := range map[string]int{`name="noop-`: 5, `.sluice.dev"`: 12, `name="other`: 0} {
		if got := sum(metrics, "apiserver_admission_webhook_request_total", func(l string) bool { return strings.Contains(l, name) }); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if got := sum(metrics, "sluice_admission_requests_total", func(string) bool { return true }); got != 10 {
		t.Errorf("%d answers, want 10", got)
	}
}

func TestRequestsAreThoseOfThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	early := `{"verb":"create","objectRef":{"resource":"secrets"}}` + "\n"
	text := early + `{"verb":"watch","objectRef":{"resource":"canaries"}}` + "\n" + `{"verb":"update","objectRef":{"resource":"leases","name":"sluice"}}` + "\n" +
		`{"verb":"get","objectRef":{"resource":"deployments"}}` + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := counter{&cluster{auditLog: path}}.requests(int64(len(early)), int64(len(text)))
	if err != nil || strings.Join(got, ",") != "get deployments" {
		t.Errorf("%q, %v; want the one that is neither watch nor lease, after the mark", got, err)
	}
}

func TestJudge(t *testing.T) {
	good := func() []*scenario {
		return []*scenario{
			{gate: gateNoop, what: "Deployment", calls: true, counts: counts{changes: 3, calls: 3}},
			{gate: gateTracked, what: "Deployment", calls: true, counts: counts{changes: 3, calls: 3, answered: 3}},
			{gate: gateUntracked, what: "Deployment", counts: counts{changes: 3}},
		}
	}
	if problems := judge(good()); len(problems) > 0 {
		t.Errorf("%q", problems)
	}
	for want, change := range map[string]func([]*scenario){
		"want none":            func(all []*scenario) { all[2].counts.calls, all[2].counts.answered = 1, 1 },
		"one or more for each": func(all []*scenario) { all[0].counts.calls, all[1].counts.calls, all[1].counts.answered = 3, 2, 2 },
		"cannot be compared":   func(all []*scenario) { all[1].counts.calls, all[1].counts.answered = 6, 6 },
		"Sluice counts 2":      func(all []*scenario) { all[1].counts.answered = 2 },
		"2 × get deployments, 1 × li": func(all []*scenario) {
			all[1].counts.requests = []string{"get deployments", "list a", "get deployments"}
		},
	} {
		all := good()
		change(all)
		if problems := strings.Join(judge(all), "\n"); !strings.Contains(problems, want) {
			t.Errorf("problems %q, want one with %q", problems, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	var samples []time.Duration
	for i := range 1000 {
		samples = append(samples, time.Duration(999-i))
	}
	if p50, p99 := quantile(samples, .5), quantile(samples, .99); p50 != 500 || p99 != 990 {
		t.Errorf("p50 %d, p99 %d; want 500 and 990", p50, p99)
	}
}

func TestTableComparesWithTheNoop(t *testing.T) {
	ms := func(n int) []time.Duration { return []time.Duration{time.Duration(n) * time.Millisecond} }
	table := render([]*scenario{
		{gate: gateNone, what: "Secret", took: ms(2)},
		{gate: gateNoop, what: "Secret", took: ms(4), counts: counts{changes: 1, calls: 1}},
		{gate: gateTracked, what: "Secret", took: ms(5), throughput: 100, counts: counts{changes: 1, calls: 1}},
		{gate: gateUntracked, what: "Secret", took: ms(1), counts: counts{changes: 1}},
	})
	for _, row := range []string{
		"| Secret | no webhook | 2.00 ms | 2.00 ms |  |  |  | 0 |  |  |",
		"| Secret | Sluice, tracked | 5.00 ms | 5.00 ms | +3.00 ms | +3.00 ms | 1.25 | 100 | 1 for 1 | 0 |",
		"| Secret | Sluice, untracked | 1.00 ms | 1.00 ms | −1.00 ms | −1.00 ms | 0.25 | 0 | 0 for 1 | 0 |",
	} {
		if !strings.Contains(table, row+"\n") {
			t.Errorf("the table\n%slacks\n%s", table, row)
		}
	}
}
