package promql_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/analysis/query/promql"
)

func TestCheck(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"vector":       {`sum(rate(http_requests_total{code=~"5.."}[1m]))`, ""},
		"scalar":       {`scalar(up) * 2`, ""},
		"comment":      {"up # is it?\n", ""},
		"range vector": {`up[5m]`, "gives no single number"},
		"string":       {`"up"`, "gives no single number"},
		"unclosed":     {`sum(up`, "not valid PromQL"},
		"empty":        {``, "not valid PromQL"},
		"Flux":         {`from(bucket: "x") |> range(start: -1m)`, "not valid PromQL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := promql.Check(tt.text)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check(%q) = %v, want %q", tt.text, err, tt.want)
			}
		})
	}
}
