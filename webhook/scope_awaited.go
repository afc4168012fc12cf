package webhook

import (
	"fmt"
	"strings"

	admissionregv1 "k8s.io/api/admissionregistration/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	// awaitedCondition is the condition of newConfigsWebhook that names what Canaries wait for.
	awaitedCondition = "awaited"
	// maxAwaited bounds the names in that condition. The API server takes expressions of 100,000 characters, and one name with its namespace takes
	// up to 330; with more, all new configs of the namespaces are asked about.
	maxAwaited = 256
)

// awaitedBy lists what a Canary waits for as "configmaps/<namespace>/<name>" or "secrets/<namespace>/<name>".
func awaitedBy(c *v1beta1.Canary) []string {
	var out []string
	for _, key := range c.Status.AwaitedConfigs {
		kind, name, _ := strings.Cut(key, "/")
		out = append(out, kind+"s/"+c.Namespace+"/"+name)
	}
	return out
}

// awaitedExpression is the condition that lets only awaited objects through.
func awaitedExpression(awaited []string) string {
	awaited = unique(awaited)
	if len(awaited) > maxAwaited {
		return "true"
	}
	quoted := make([]string, len(awaited))
	for i, a := range awaited {
		// Names of objects hold no character that would have to be escaped, and a status that was written by hand may hold anything.
		quoted[i] = fmt.Sprintf("%q", a)
	}
	return "(request.resource.resource + '/' + request.namespace + '/' + object.metadata.?name.orValue('')) in [" + strings.Join(quoted, ", ") + "]"
}

// setCondition writes the condition of awaited objects and tells whether that changed anything.
func setCondition(w *admissionregv1.MutatingWebhook, expression string) bool {
	for i := range w.MatchConditions {
		if c := &w.MatchConditions[i]; c.Name == awaitedCondition {
			changed := c.Expression != expression
			c.Expression = expression
			return changed
		}
	}
	w.MatchConditions = append(w.MatchConditions, admissionregv1.MatchCondition{Name: awaitedCondition, Expression: expression})
	return true
}
