package query_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/analysis/query"
)

var podinfo = query.Vars{
	Name:       "podinfo",
	Namespace:  "test",
	Target:     "podinfo-app",
	Service:    "podinfo-svc",
	Ingress:    "podinfo-ingress",
	Route:      "podinfo-route",
	Interval:   "2m",
	Variables:  map[string]string{"status": "5..", "direction": "inbound"},
	TargetKind: "Deployment",
}

func TestRender(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"every function": {
			`{{ name }} {{ namespace }} {{ target }} {{ service }} {{ ingress }} {{ route }} {{ interval }}`,
			`podinfo test podinfo-app podinfo-svc podinfo-ingress podinfo-route 2m`,
		},
		"variable":            {`up{status="{{ variables.status }}"}`, `up{status="5.."}`},
		"standard functions":  {`{{ printf "%s-%s" namespace name | printf "%q" }}`, `"test-podinfo"`},
		"star outside a verb": {`{{ printf "a.*__%s_[0-9]+:9898 %[1]q" namespace }}`, `a.*__test_[0-9]+:9898 "test"`},
		"condition":           {`{{ if eq namespace "test" }}a{{ else }}b{{ end }}`, `a`},
		"index":               {`{{ index variables "direction" }}`, `inbound`},
		"loop over variables": {`{{ range $k, $v := variables }}{{ $k }}={{ $v }},{{ end }}`, `direction=inbound,status=5..,`},
		"surrounding space":   {"\n  up\n", `up`},
		"lines and comments are kept": {
			"sum(\n  up # all of them\n)", "sum(\n  up # all of them\n)",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := query.Render(tt.text, podinfo)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("Render(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestRenderDefaultsInterval(t *testing.T) {
	got, err := query.Render(`rate(x[{{ interval }}])`, query.Vars{})
	if err != nil || got != `rate(x[1m])` {
		t.Errorf("Render = %q, %v; want the default interval 1m", got, err)
	}
}

func TestRenderErrors(t *testing.T) {
	doubling := `{{ define "0" }}x{{ end }}`
	for i := range 30 {
		a, b := string(rune('0'+i)), string(rune('1'+i))
		doubling += `{{ define "` + b + `" }}{{ template "` + a + `" }}{{ template "` + a + `" }}{{ end }}`
	}
	tests := map[string]struct{ text, want string }{
		"unknown function":      {`{{ canary }}`, `function "canary" not defined`},
		"no built-in functions": {`{{ pods }}`, `function "pods" not defined`},
		"missing variable":      {`{{ variables.nope }}`, `nope`},
		"unclosed action":       {`{{ name`, `does not parse`},
		"nothing":               {`{{ if eq name "x" }}up{{ end }}`, `renders to nothing`},
		"endless loop":          {`{{ range 9000000000000000000 }}{{ end }}`, `only {{range variables}} is supported`},
		"hidden endless loop":   {`{{ $n := 9000000000 }}{{ if true }}{{ with 1 }}{{ range $n }}{{ end }}{{ end }}{{ end }}`, `only {{range variables}}`},
		"loop in a loop":        {`{{ range variables }}{{ range variables }}{{ end }}{{ end }}`, `not inside another loop`},
		"loop in a loop's else": {`{{ range variables }}{{ else }}{{ range variables }}{{ end }}{{ end }}`, `not inside another loop`},
		"doubling templates":    {doubling + `{{ template "9" }}`, `nested templates are not supported`},
		"wide verb":             {`{{ printf "%999999d" 1 }}`, `widths of 1000`},
		"width by argument":     {`{{ printf "%*d" 999999 1 }}`, `widths of 1000`},
		"width behind a flag":   {`{{ printf "%d*%-+099999d" 1 2 }}`, `widths of 1000`},
		"width after an index":  {`{{ printf "%[1]99999d" 1 }}`, `widths of 1000`},
		"width after no index":  {`{{ printf "%[x]99999d" 1 }}`, `widths of 1000`},
		"precision by argument": {`{{ printf "%3.*f" 9999 1.0 }}`, `widths of 1000`},
		"large template":        {strings.Repeat("x", 17<<10), `at most 16384`},
		"large result":          {strings.Repeat(`{{ printf "%900d" 1 }}`, 100), `exceeds 65536 bytes`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := query.Render(tt.text, podinfo)
			if err == nil {
				t.Fatalf("Render gave %q, want an error", got)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want it to mention %q", err, tt.want)
			}
		})
	}
}

// A caller's map must not be reachable through the template, nor shared between renderings.
func TestRenderLeavesVariablesAlone(t *testing.T) {
	v := query.Vars{Variables: map[string]string{"a": "1"}}
	if _, err := query.Render(`{{ variables.a }}`, v); err != nil {
		t.Fatal(err)
	}
	if len(v.Variables) != 1 || v.Variables["a"] != "1" {
		t.Errorf("variables are now %v", v.Variables)
	}
}
