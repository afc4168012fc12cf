// Package sluice holds no code, only the tests of the project as a whole: which way imports point, what pages claim.
package sluice

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sluice-dev/sluice/"

// metadata is what a pure package may use of Kubernetes: objects as values, nothing that can reach a cluster.
var metadata = []string{"k8s.io/apimachinery/pkg"}

// objects are the API types of Kubernetes.
var objects = append([]string{"k8s.io/api/"}, metadata...)

// leaves are the pure packages that anyone may import, each with the imports that it may have besides the standard library, as prefixes. A leaf may
// import other leaves only where they are named here.
var leaves = map[string][]string{
	"api/v1beta1": append([]string{"sigs.k8s.io/gateway-api/apis", "istio.io/api"}, objects...),
	"api/validation": append([]string{module + "api/v1beta1", module + "mesh/capability", module + "analysis/check", module + "analysis/query",
		module + "analysis/verdict", "sigs.k8s.io/gateway-api/apis"}, metadata...),
	"reconciler/core":         append([]string{module + "api/v1beta1"}, metadata...),
	"reconciler/core/preview": append([]string{module + "api/v1beta1", module + "reconciler/core"}, metadata...),
	"reconciler/revision":     append([]string{module + "api/v1beta1", "sigs.k8s.io/yaml", "sigs.k8s.io/json"}, objects...),
	"reconciler/scaler":       append([]string{module + "api/v1beta1"}, objects...),
	"mesh/capability":         append([]string{module + "api/v1beta1"}, metadata...),
	"analysis/alert":          append([]string{module + "api/v1beta1"}, metadata...),
	"analysis/check":          append([]string{module + "api/v1beta1"}, metadata...),
	"analysis/compare":        {},
	"analysis/query":          append([]string{module + "api/v1beta1"}, metadata...),
	"analysis/query/promql":   {"github.com/prometheus/prometheus/promql/parser"},
	"analysis/verdict":        append([]string{module + "api/v1beta1"}, metadata...),
}

// helpers serve tests: they may import what they like of others, and of this module only leaves.
var helpers = []string{"api/internal/contradiction", "api/testserver", "reconciler/core/simulation", "reconciler/core/simulation/mutants"}

// edges reach the outside world. They know nothing of each other: cmd wires them.
var edges = []string{"analysis", "certs", "mesh", "reconciler", "webhook"}

// wiring may import several edges.
const wiring = "cmd"

// impure are standard packages that give a leaf a way out, or a decision that cannot be repeated.
var impure = []string{"crypto/rand", "math/rand", "math/rand/v2", "net", "net/http", "os", "os/exec", "syscall"}

// impureCalls read a clock or wait for one.
var impureCalls = []string{"time.After", "time.AfterFunc", "time.NewTicker", "time.NewTimer", "time.Now", "time.Since", "time.Sleep", "time.Tick", "time.Until"}

// source is what one file says.
type source struct {
	path, pkg string
	test      bool
	imports   []string
	// impure are calls and goroutines that no leaf may have, with their positions.
	impure []string
}

func TestImportsPointOneWay(t *testing.T) {
	sources := readSources(t)
	seen := map[string]bool{}
	for _, s := range sources {
		seen[s.pkg] = true
		for _, problem := range judge(s) {
			t.Errorf("%s: %s", s.path, problem)
		}
	}
	for _, must := range []string{"api/v1beta1", "reconciler/core"} {
		if !seen[must] {
			t.Errorf("no files of package %s were read: the test looks in the wrong place", must)
		}
	}
}

func TestTheRuleRefuses(t *testing.T) {
	tests := map[string]struct {
		source source
		want   string
	}{
		"core with a client":          {source{pkg: "reconciler/core", imports: []string{"sigs.k8s.io/controller-runtime/pkg/client"}}, "leaf"},
		"core with another leaf":      {source{pkg: "reconciler/core", imports: []string{module + "mesh/capability"}}, "leaf"},
		"core with the network":       {source{pkg: "reconciler/core", imports: []string{"net/http"}}, "leaf"},
		"core with a clock":           {source{pkg: "reconciler/core", impure: []string{"time.Now"}}, "leaf"},
		"test of a leaf with an edge": {source{pkg: "reconciler/core", test: true, imports: []string{module + "reconciler"}}, "leaf"},
		"edge with another edge":      {source{pkg: "webhook", imports: []string{module + "reconciler"}}, "edge"},
		"inner package of an edge":    {source{pkg: "analysis/hook", imports: []string{module + "mesh/gatewayapi"}}, "edge"},
		"edge with the wiring":        {source{pkg: "mesh", imports: []string{module + "cmd/sluice"}}, "edge"},
		"anything with e2e":           {source{pkg: "cmd/sluice", imports: []string{module + "e2e/image"}}, "e2e"},
		"test with e2e":               {source{pkg: "webhook", test: true, imports: []string{module + "e2e/tools"}}, "e2e"},
		"code with a test's helper":   {source{pkg: "webhook", imports: []string{module + "api/internal/contradiction"}}, "tests only"},
		"code with the simulation":    {source{pkg: "reconciler", imports: []string{module + "reconciler/core/simulation"}}, "tests only"},
		"helper with an edge":         {source{pkg: "api/internal/contradiction", imports: []string{module + "webhook"}}, "leaves"},
		"package of no known place":   {source{pkg: "util", imports: nil}, "place"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			problems := judge(test.source)
			if len(problems) != 1 || !strings.Contains(problems[0], test.want) {
				t.Errorf("judge(%+v) = %q, want one problem with %q", test.source, problems, test.want)
			}
		})
	}
}

func TestTheRuleAllows(t *testing.T) {
	for name, s := range map[string]source{
		"core":                   {pkg: "reconciler/core", imports: []string{"fmt", "time", module + "api/v1beta1", "k8s.io/apimachinery/pkg/apis/meta/v1"}},
		"clock in a leaf's test": {pkg: "reconciler/core", test: true, imports: []string{"os", "sigs.k8s.io/yaml"}, impure: []string{"time.Now"}},
		"leaf of another edge":   {pkg: "webhook", imports: []string{module + "reconciler/revision", module + "mesh/capability", "net/http"}},
		"helper in a test":       {pkg: "api/v1beta1", test: true, imports: []string{module + "api/internal/contradiction"}},
		"own inner package":      {pkg: "analysis/prometheus", imports: []string{module + "analysis/internal/httpx", module + "analysis"}},
		"wiring":                 {pkg: "cmd/sluice", imports: []string{module + "webhook", module + "reconciler", module + "certs"}},
	} {
		if problems := judge(s); len(problems) > 0 {
			t.Errorf("%s: %q", name, problems)
		}
	}
}

// judge returns what a file imports against the rule.
func judge(s source) []string {
	if _, isLeaf := leaves[s.pkg]; isLeaf {
		return judgeLeaf(s)
	}
	edge, _, _ := strings.Cut(s.pkg, "/")
	isEdge := slices.Contains(edges, edge)
	isHelper := slices.Contains(helpers, s.pkg)
	if !isEdge && !isHelper && edge != wiring && s.pkg != "." {
		return []string{fmt.Sprintf("package %s has no place in the rule: name it among the leaves or the edges", s.pkg)}
	}
	var problems []string
	for _, path := range s.imports {
		own, ours := strings.CutPrefix(path, module)
		if !ours {
			continue
		}
		_, isLeaf := leaves[own]
		other, _, _ := strings.Cut(own, "/")
		switch {
		case other == "e2e":
			problems = append(problems, fmt.Sprintf("imports %s: nothing imports e2e", path))
		case slices.Contains(helpers, own):
			if !s.test {
				problems = append(problems, fmt.Sprintf("imports %s, which serves tests only", path))
			}
		case isHelper && !isLeaf:
			problems = append(problems, fmt.Sprintf("helper %s imports %s: only leaves", s.pkg, path))
		case isEdge && !isLeaf && other != edge:
			problems = append(problems, fmt.Sprintf("edge %s imports %s: an edge imports only itself and pure leaves; %s wires edges together", edge, path, wiring))
		}
	}
	return problems
}

func judgeLeaf(s source) []string {
	var problems []string
	for _, path := range s.imports {
		allowed := mayImport(s, path)
		if !allowed {
			problems = append(problems, fmt.Sprintf("leaf %s imports %s: it may have the standard library without %s, and %s",
				s.pkg, path, strings.Join(impure, ", "), strings.Join(leaves[s.pkg], ", ")))
		}
	}
	if !s.test {
		for _, call := range s.impure {
			problems = append(problems, fmt.Sprintf("leaf %s has %s: time and concurrency belong to the edges", s.pkg, call))
		}
	}
	return problems
}

// mayImport tells whether a leaf may have an import. Its tests may have anything that is not of this module, and their own package's siblings.
func mayImport(s source, path string) bool {
	if path == module+s.pkg {
		return true
	}
	for _, prefix := range leaves[s.pkg] {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	if own, ours := strings.CutPrefix(path, module); ours {
		_, isLeaf := leaves[own]
		return s.test && (isLeaf || slices.Contains(helpers, own))
	}
	first, _, _ := strings.Cut(path, "/")
	standard := !strings.Contains(first, ".")
	return s.test || standard && !slices.Contains(impure, path)
}

// readSources parses every Go file of this module, whatever its build tags.
func readSources(t *testing.T) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != "." && (path == "e2e" || path == "dist" || path == "bin" || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		s, err := readSource(path)
		sources = append(sources, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func readSource(path string) (source, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return source{}, fmt.Errorf("parse %s: %w", path, err)
	}
	s := source{path: path, pkg: filepath.ToSlash(filepath.Dir(path)), test: strings.HasSuffix(path, "_test.go")}
	for _, spec := range file.Imports {
		value, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, fmt.Errorf("import %s of %s: %w", spec.Path.Value, path, err)
		}
		s.imports = append(s.imports, value)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GoStmt:
			s.impure = append(s.impure, fmt.Sprintf("a goroutine at %s", files.Position(n.Pos())))
		case *ast.SelectorExpr:
			name, ok := n.X.(*ast.Ident)
			if ok && slices.Contains(impureCalls, name.Name+"."+n.Sel.Name) {
				s.impure = append(s.impure, fmt.Sprintf("%s.%s at %s", name.Name, n.Sel.Name, files.Position(n.Pos())))
			}
		}
		return true
	})
	return s, nil
}
