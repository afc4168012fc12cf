package query_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/analysis/query"
)

func TestSample(t *testing.T) {
	var many strings.Builder
	for i := range query.MaxVariables + 1 {
		many.WriteString("{{ variables.v" + strings.Repeat("x", i) + " }}")
	}
	for name, tt := range map[string]struct {
		text, want string
		exact      bool
		problem    string
	}{
		"plain":              {"sum(up)", "sum(up)", true, ""},
		"functions":          {`a{n="{{ namespace }}",t="{{ target }}",i="{{ ingress }}"}[{{ interval }}]`, `a{n="namespace",t="target",i="ingress"}[1m]`, true, ""},
		"variables":          {`a{b="{{ variables.region }}"}`, `a{b="variable"}`, false, ""},
		"variables put away": {`{{ $v := variables }}{{ with $v }}{{ .zone }}{{ end }}`, "variable", false, ""},
		"an absent variable": {`a{b="{{ index variables "x" }}"}`, `a{b=""}`, false, ""},
		"unknown function":   {`{{ nmespace }}`, "", false, `function "nmespace" not defined`},
		"unclosed":           {`{{ target`, "", false, "unclosed action"},
		"a field of a text":  {`{{ variables.a.b }}`, "", false, "can't evaluate field b"},
		"a loop":             {`{{ range 10 }}x{{ end }}`, "", false, "only {{range variables}} is supported"},
		"nothing":            {" ", "", false, "must have text"},
		"too many variables": {many.String(), "", false, "at most 64"},
		"too long":           {strings.Repeat("x", 16<<10+1), "", false, "shorten it"},
	} {
		t.Run(name, func(t *testing.T) {
			got, exact, err := query.Sample(tt.text)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("Sample() = %q, error %v; want an error with %q", got, err, tt.problem)
				}
				return
			}
			if err != nil || got != tt.want || exact != tt.exact {
				t.Errorf("Sample() = %q, exact %v, error %v; want %q, %v", got, exact, err, tt.want, tt.exact)
			}
		})
	}
}
