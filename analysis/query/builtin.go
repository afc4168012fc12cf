package query

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The built-in metrics.
const (
	SuccessRate = "request-success-rate" // percent, 0 to 100
	Duration    = "request-duration"     // milliseconds, 99th percentile
)

// IsBuiltin tells whether a metric's name asks for a built-in query.
func IsBuiltin(metric string) bool { return metric == SuccessRate || metric == Duration }

// nonWord is what some proxies replace in the names of routes.
var nonWord = regexp.MustCompile(`\W`)

//go:embed observers
var observerFiles embed.FS

// observer is one folder of queries.
type observer struct {
	name      string
	providers []string
	queries   map[string]string // by metric
}

// Observes tells whether the built-in metrics are known for a routing provider such as "gatewayapi:v1".
func Observes(provider string) bool {
	_, err := observerOf(provider)
	return err == nil
}

// Builtin returns the query of a built-in metric for a routing provider, as one expression ready to be sent. request-success-rate
// gives percent, request-duration milliseconds. An unknown provider or metric is an error.
func Builtin(provider, metric string, v Vars) (string, error) {
	obs, err := observerOf(provider)
	if err != nil {
		return "", fmt.Errorf("metric %s: %w", metric, err)
	}
	text, ok := obs.queries[metric]
	if !ok {
		return "", fmt.Errorf("metric %q is not built in: the built-in metrics are %s and %s; give the metric a templateRef", metric, SuccessRate, Duration)
	}
	funcs := functions(v)
	funcs["pods"] = func() (string, error) { return Pods(v.TargetKind, v.Target, v.PodTemplateHash) }
	funcs["word"] = func(text string) string { return nonWord.ReplaceAllString(text, "_") }
	rendered, err := render(text, funcs)
	if err != nil {
		return "", fmt.Errorf("metric %s for provider %s: %w", metric, provider, err)
	}
	return strings.Join(strings.Fields(rendered), " "), nil
}

func observerOf(provider string) (observer, error) {
	observers, err := loadObservers(observerFiles)
	if err != nil {
		return observer{}, err
	}
	var known []string
	for _, obs := range observers {
		for _, pattern := range obs.providers {
			if matches(pattern, provider) {
				return obs, nil
			}
			known = append(known, pattern)
		}
	}
	return observer{}, fmt.Errorf("no built-in queries for provider %q, only for %s: give the metric a templateRef", provider, strings.Join(known, ", "))
}

func matches(pattern, provider string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(provider, prefix)
	}
	return pattern == provider
}

// loadObservers reads the folders in the order of their names. They are a few small files, so nothing is kept between calls.
func loadObservers(files fs.FS) ([]observer, error) {
	folders, err := fs.ReadDir(files, "observers")
	if err != nil {
		return nil, fmt.Errorf("list built-in queries: %w", err)
	}
	var out []observer
	for _, folder := range folders {
		obs := observer{name: folder.Name(), queries: map[string]string{}}
		providers, err := fs.ReadFile(files, path.Join("observers", obs.name, "providers"))
		if err != nil {
			return nil, fmt.Errorf("built-in queries %s: %w", obs.name, err)
		}
		obs.providers = strings.Fields(string(providers))
		for _, metric := range []string{SuccessRate, Duration} {
			text, err := fs.ReadFile(files, path.Join("observers", obs.name, metric+".promql"))
			if err != nil {
				return nil, fmt.Errorf("built-in queries %s: %w", obs.name, err)
			}
			obs.queries[metric] = withoutComments(string(text))
		}
		out = append(out, obs)
	}
	return out, nil
}

// withoutComments drops the lines that begin with #, so that the rest can be sent as one line.
func withoutComments(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		return strings.HasPrefix(strings.TrimSpace(line), "#")
	})
	return strings.Join(lines, "\n")
}
