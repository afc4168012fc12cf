package validation

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/internal/contradiction"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

const document = "../../docs/validation.md"

// documented is one row of the table of rules.
type documented struct {
	kind    string
	fields  []string
	message string // with … for what depends on the object
	answer  string // deny or warn
	twins   []string
}

// readDocument reads the tables: one per kind, under a heading with its name.
func readDocument(t *testing.T) []documented {
	t.Helper()
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var rows []documented
	kind := ""
	for line := range strings.Lines(string(raw)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			kind = strings.TrimSpace(heading)
		}
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 4 || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		rows = append(rows, documented{
			kind: kind, fields: quoted(cells[0]), message: strings.TrimSpace(cells[1]), answer: cells[2], twins: quoted(cells[3]),
		})
	}
	return rows
}

// quoted returns what stands between backquotes.
func quoted(cell string) []string {
	var out []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			out = append(out, part)
		}
	}
	return out
}

// The document has each message of the code under its answer, and no other.
func TestDocumentHasAllMessages(t *testing.T) {
	inDocument := map[string]bool{}
	for _, row := range readDocument(t) {
		inDocument[row.answer+": "+row.message] = true
	}
	inCode := messagesOfCode(t)
	if len(inCode) < 60 {
		t.Fatalf("only %d messages were found in the code", len(inCode))
	}
	for _, m := range slices.Sorted(maps.Keys(inCode)) {
		if !inDocument[m] {
			t.Errorf("%s lacks the rule of %s:\n  %s", document, inCode[m], m)
		}
	}
	for _, m := range slices.Sorted(maps.Keys(inDocument)) {
		if _, ok := inCode[m]; !ok {
			t.Errorf("%s has a rule that the code does not:\n  %s", document, m)
		}
	}
}

var verb = regexp.MustCompile(`%[a-z]`)

// messagesOfCode finds the calls of deny and warn in the package, each as "deny: message", with the place of one such call.
func messagesOfCode(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || method.Sel.Name != "deny" && method.Sel.Name != "warn" {
				return true
			}
			at := set.Position(call.Pos()).String()
			format, ok := literal(call.Args[2])
			if !ok {
				t.Errorf("%s: the message is no literal, so it cannot be held against %s", at, document)
				return true
			}
			out[method.Sel.Name+": "+verb.ReplaceAllString(format, "…")] = at
			return true
		})
	}
	return out
}

// literal is the value of a string, also of one that is put together from several.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		x, ok := literal(e.X)
		y, ok2 := literal(e.Y)
		return x + y, ok && ok2
	}
	return "", false
}

// What the cases of the tests are told is documented for that field.
func TestDocumentHasTheFields(t *testing.T) {
	rows := readDocument(t)
	told := 0
	judge := func(kind string, denials, warnings []Issue) {
		for answer, issues := range map[string][]Issue{"deny": denials, "warn": warnings} {
			for _, i := range issues {
				told++
				if !slices.ContainsFunc(rows, func(d documented) bool { return d.kind == kind && d.answer == answer && d.says(i) }) {
					t.Errorf("%s has no such rule of a %s: %s %s: %s", document, kind, answer, i.Field, i.Message)
				}
			}
		}
	}
	o := options()
	for _, c := range slices.Concat(denialCases(), warningCases(), serviceDenials(), queryDenials(), queryWarnings(),
		serviceTargetDenials(), serviceTargetWarnings()) {
		denials, warnings := ValidateCanary(canary(t, strings.ReplaceAll(c.patch, "\t", " ")), o)
		judge(v1beta1.CanaryKind, denials, warnings)
	}
	for _, c := range templateCases() {
		denials, warnings := ValidateMetricTemplate(build[v1beta1.MetricTemplate](t, v1beta1.MetricTemplateKind, c.patch), o)
		judge(v1beta1.MetricTemplateKind, denials, warnings)
	}
	for _, c := range alertCases() {
		denials, warnings := ValidateAlertProvider(build[v1beta1.AlertProvider](t, v1beta1.AlertProviderKind, c.patch), o)
		judge(v1beta1.AlertProviderKind, denials, warnings)
	}
	all, err := contradiction.Read("../testdata/contradictions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		if x.Layer == contradiction.Admission {
			kind := x.Kind
			if kind == "" {
				kind = v1beta1.CanaryKind
			}
			judge(kind, denialsOf(t, x), nil)
		}
	}
	if told < 100 {
		t.Errorf("only %d issues were compared", told)
	}
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// says tells whether an issue is one of the row's. A field may go on behind a documented one that ends in a dot and a star.
func (d documented) says(i Issue) bool {
	field := index.ReplaceAllString(i.Field, "[]")
	if !slices.ContainsFunc(d.fields, func(f string) bool {
		prefix, open := strings.CutSuffix(f, "*")
		return f == field || open && strings.HasPrefix(field, prefix)
	}) {
		return false
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(d.message), "…", "(?s:.*)") + "$"
	return regexp.MustCompile(pattern).MatchString(i.Message)
}

// Each field is one of the CRD, and has the twins that the document claims: keywords of its schema, or messages of its CEL rules.
func TestDocumentedTwins(t *testing.T) {
	twins := 0
	for _, row := range readDocument(t) {
		for _, field := range row.fields {
			path := strings.TrimSuffix(strings.TrimSuffix(field, "*"), ".")
			schema, parent, err := schemaAt(t, row.kind, path)
			if err != nil {
				t.Errorf("%s: %s of a %s: %v", document, field, row.kind, err)
				continue
			}
			for _, twin := range row.twins {
				twins++
				// A rule that looks at the status, too, is one of the object as a whole.
				if !hasTwin(schema, parent, path, twin) && !hasTwin(crdSchema(t, row.kind), nil, path, twin) {
					t.Errorf("%s: the schema of %s of a %s has no %q", document, field, row.kind, twin)
				}
			}
		}
	}
	if twins < 20 {
		t.Errorf("only %d twins were compared", twins)
	}
}

// Each CEL rule of the CRDs is documented, as a twin or by itself.
func TestDocumentHasTheRulesOfTheSchema(t *testing.T) {
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	said := quoted(string(raw))
	rules := 0
	for _, kind := range []string{v1beta1.CanaryKind, v1beta1.MetricTemplateKind, v1beta1.AlertProviderKind} {
		crd := crdSchema(t, kind)
		whole := map[string]any{"x-kubernetes-validations": crd["x-kubernetes-validations"]}
		eachRule([]any{whole, crd["properties"].(map[string]any)["spec"]}, func(message string) {
			rules++
			if !slices.Contains(said, message) {
				t.Errorf("%s lacks the rule of the schema of a %s: %s", document, kind, message)
			}
		})
	}
	if rules < 15 {
		t.Errorf("only %d rules were found in the CRDs", rules)
	}
}

// eachRule calls f with the message of each CEL rule in a schema.
func eachRule(schema any, f func(message string)) {
	switch s := schema.(type) {
	case map[string]any:
		rules, _ := s["x-kubernetes-validations"].([]any)
		for _, r := range rules {
			f(r.(map[string]any)["message"].(string))
		}
		for _, name := range slices.Sorted(maps.Keys(s)) {
			eachRule(s[name], f)
		}
	case []any:
		for _, item := range s {
			eachRule(item, f)
		}
	}
}

// hasTwin tells whether a field's schema has a keyword, or a rule with a message, which may stand with the parent. The keyword required always does.
func hasTwin(schema, parent map[string]any, path, twin string) bool {
	if twin == "required" {
		required, _ := parent["required"].([]any)
		return slices.Contains(required, any(path[strings.LastIndex(path, ".")+1:]))
	}
	if keyword, value, ok := strings.Cut(twin, ": "); ok && fmt.Sprint(schema[keyword]) == value {
		return true
	}
	if items, ok := schema["items"].(map[string]any); ok && hasTwin(items, nil, path, twin) {
		return true
	}
	if _, ok := schema[twin]; ok {
		return true
	}
	own, _ := schema["x-kubernetes-validations"].([]any)
	above, _ := parent["x-kubernetes-validations"].([]any)
	rules := slices.Concat(own, above)
	return slices.ContainsFunc(rules, func(r any) bool { return r.(map[string]any)["message"] == any(twin) })
}

// schemaAt walks the CRD of a kind to a path such as spec.analysis.webhooks[].url.
func schemaAt(t *testing.T, kind, path string) (schema, parent map[string]any, err error) {
	t.Helper()
	schema = crdSchema(t, kind)
	for name := range strings.SplitSeq(path, ".") {
		name, list := strings.CutSuffix(name, "[]")
		parent = schema
		properties, _ := schema["properties"].(map[string]any)
		next, ok := properties[name].(map[string]any)
		if !ok {
			return nil, nil, fmt.Errorf("there is no field %s", name)
		}
		if list {
			next, _ = next["items"].(map[string]any)
		}
		schema = next
	}
	return schema, parent, nil
}

// crdSchema is the schema in the CRD of a kind.
func crdSchema(t *testing.T, kind string) map[string]any {
	t.Helper()
	plural := map[string]string{
		v1beta1.CanaryKind: "canaries", v1beta1.MetricTemplateKind: "metrictemplates", v1beta1.AlertProviderKind: "alertproviders",
	}[kind]
	raw, err := os.ReadFile(filepath.Join("../../manifests/base/crds", "flagger.app_"+plural+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		t.Fatal(err)
	}
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// What this build is said to have is what the code that does it names.
func TestFeaturesAreThoseOfTheCode(t *testing.T) {
	hooks := named(t, "Hook", "../../reconciler/*.go", "../../reconciler/core/*.go")
	if len(hooks) != len(hookTypes()) {
		t.Errorf("the reconciler calls hooks of the types %v; accepted are %v", hooks, hookTypes())
	}
	providers := named(t, "Metric", "../../analysis/providers.go", "../../analysis/provider/provider.go")
	providers = slices.DeleteFunc(providers, func(n string) bool { return n == "MetricProvider" })
	if len(providers) != len(metricProviders()) || !slices.Equal(CurrentFeatures().MetricProviders, metricProviders()) {
		t.Errorf("metrics are asked of %v; the features name %v", providers, CurrentFeatures().MetricProviders)
	}
	alerts := named(t, "Alert", "../../analysis/alert/alert.go")
	alerts = slices.DeleteFunc(alerts, func(n string) bool { return n == "AlertSeverity" || n == "AlertTypes" })
	if len(alerts) != len(v1beta1.AlertTypes()) {
		t.Errorf("alerts are written for %v; accepted are %v", alerts, v1beta1.AlertTypes())
	}
}

// named lists the names of package v1beta1 that begin so and are used in files that are no tests, types aside.
func named(t *testing.T, prefix string, patterns ...string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if pkg, isName := ident(s, ok); isName && pkg == "v1beta1" && strings.HasPrefix(s.Sel.Name, prefix) && s.Sel.Name != prefix+"Type" {
					found[s.Sel.Name] = true
				}
				return true
			})
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func ident(s *ast.SelectorExpr, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	x, isName := s.X.(*ast.Ident)
	if !isName {
		return "", false
	}
	return x.Name, true
}
