package query

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"text/template"
)

const (
	// DefaultInterval is the window of a metric that names none.
	DefaultInterval = "1m"

	// maxTemplate and maxRendered bound, in bytes, a query before and after rendering.
	maxTemplate = 16 << 10
	maxRendered = 64 << 10
)

// Vars are the values that a query can name.
type Vars struct {
	Name      string // of the Canary
	Namespace string // of the Canary
	Target    string // name of the tracked workload
	Service   string // service.name, or Target
	Ingress   string // ingressRef.name, or Target
	Route     string // routeRef.name, or Target
	Interval  string // window such as 1m or 30s; empty means DefaultInterval

	// Variables are the metric's templateVariables, used as variables.key. A key that is not there is an error.
	Variables map[string]string

	// TargetKind is the kind of the tracked workload. Only built-in queries look at it.
	TargetKind string

	// PodTemplateHash narrows built-in queries to the pods of one revision of a Deployment; empty means all pods of the canary.
	PodTemplateHash string
}

// Render fills in a query template. It uses Go's text/template without a data object: name, namespace, target, service, ingress,
// route, interval and variables are functions. Unknown functions, missing variables and results without any text are errors.
//
// Templates come from tenants and run inside the controller, so what could use up its time or memory is refused: templates over
// 16 KiB, results over 64 KiB, nested templates, loops over anything but variables, and very wide printf verbs.
func Render(text string, v Vars) (string, error) {
	return render(text, functions(v))
}

func render(text string, funcs template.FuncMap) (string, error) {
	if len(text) > maxTemplate {
		return "", fmt.Errorf("query template has %d bytes, at most %d are accepted: shorten it", len(text), maxTemplate)
	}
	tmpl, err := template.New("query").Option("missingkey=error").Funcs(funcs).Parse(text)
	if err != nil {
		return "", fmt.Errorf("query template does not parse (known functions: %s): %w", strings.Join(flaggerFunctions, ", "), err)
	}
	if err := checkBounded(tmpl); err != nil {
		return "", err
	}
	out := &limitedBuilder{limit: maxRendered}
	if err := tmpl.Execute(out, nil); err != nil {
		return "", fmt.Errorf("query template does not render: %w", err)
	}
	rendered := strings.TrimSpace(out.String())
	if rendered == "" {
		return "", errors.New("query template renders to nothing: a query must have text")
	}
	return rendered, nil
}

// flaggerFunctions are the functions that Flagger documents, in its order.
var flaggerFunctions = []string{"name", "namespace", "target", "service", "ingress", "route", "interval", "variables"}

func functions(v Vars) template.FuncMap {
	interval := v.Interval
	if interval == "" {
		interval = DefaultInterval
	}
	text := func(s string) func() string { return func() string { return s } }
	// One copy for all calls: templates cannot change it, and a copy for each could cost more than the bounds on a template foresee.
	variables := maps.Clone(v.Variables)
	return template.FuncMap{
		"name":      text(v.Name),
		"namespace": text(v.Namespace),
		"target":    text(v.Target),
		"service":   text(v.Service),
		"ingress":   text(v.Ingress),
		"route":     text(v.Route),
		"interval":  text(interval),
		"variables": func() map[string]string { return variables },
		"printf":    narrowPrintf,
	}
}

// wideVerb finds verbs whose width or precision is taken from an argument or has four digits and more. Outside of a verb both are plain text, as in the
// regular expressions of many queries.
var wideVerb = regexp.MustCompile(`%(?:[-+# 0-9.]|\[[^\]]*\])*(?:\*|[0-9]{4,})`)

// narrowPrintf is printf without verbs that turn a short template into megabytes.
func narrowPrintf(format string, args ...any) (string, error) {
	if wideVerb.MatchString(format) {
		return "", fmt.Errorf("printf format %q: widths of 1000 and more and * are not supported in a verb; write long text outside the format", format)
	}
	return fmt.Sprintf(format, args...), nil
}

// limitedBuilder collects text up to a limit in bytes and fails beyond it.
type limitedBuilder struct {
	strings.Builder
	limit int
}

func (b *limitedBuilder) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		return 0, fmt.Errorf("the rendered query exceeds %d bytes", b.limit)
	}
	return b.Builder.Write(p)
}
