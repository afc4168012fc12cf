package query

import (
	"fmt"
	"regexp"
)

// MaxVariables bounds the variables of one metric.
const MaxVariables = 64

var (
	// selector finds all that may be the name of a variable: variables.key, or .key where variables were put aside.
	selector = regexp.MustCompile(`\.([\pL_][\pL\pN_]*)`)
	// ofVariables finds the function variables.
	ofVariables = regexp.MustCompile(`\bvariables\b`)
)

// Sample renders a query template with stand-ins for all values, also for the variables that it names, to tell whether it can render
// at all. Errors are those of Render. Where exact is false the template names variables: what a metrics server makes of the text
// then depends on their values.
func Sample(text string) (rendered string, exact bool, err error) {
	v := Vars{
		Name: "canary", Namespace: "namespace", Target: "target", Service: "service", Ingress: "ingress", Route: "route",
		Interval: DefaultInterval, Variables: map[string]string{},
	}
	if len(text) <= maxTemplate {
		for _, found := range selector.FindAllStringSubmatch(text, -1) {
			v.Variables[found[1]] = "variable"
		}
	}
	exact = !ofVariables.MatchString(text)
	if !exact && len(v.Variables) > MaxVariables {
		return "", false, fmt.Errorf("query template names %d variables, at most %d are accepted", len(v.Variables), MaxVariables)
	}
	rendered, err = Render(text, v)
	return rendered, exact, err
}
