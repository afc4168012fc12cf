package mesh

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// skipper keeps an Ingress beside the user's that has each path to the apex Service twice, to the primary and to the canary. While the canary has a share
// a predicate has it win over the user's; otherwise no request meets it, and everybody reaches the primary through the apex Service.
type skipper struct{ public model }

const (
	skipperPrefix    = "zalando.org/"
	skipperWeights   = skipperPrefix + "backend-weights"
	skipperPredicate = skipperPrefix + "skipper-predicate"
	skipperWins      = "Weight(100)"
	skipperNever     = "False()"
	skipperAnd       = " && "
)

func (skipper) source(c *v1beta1.Canary) (Object, string)        { return ingressSource(c) }
func (skipper) after(source *unstructured.Unstructured) Provider { return skipper{modelOf(source)} }
func (skipper) Objects(c *v1beta1.Canary) []Object               { return ingressObjects(c) }

func (k skipper) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	if err := onlyWeights(c, intent); err != nil {
		return nil, err
	}
	if err := ingressOthers(c, existing, skipperWeights); err != nil {
		return nil, err
	}
	source, _ := k.source(c)
	spec, err := k.public.spec(c, fieldIngressRef, source)
	if err != nil {
		return nil, err
	}
	// A default backend is one Service, which leaves no room for a second.
	delete(spec, "defaultBackend")
	if spec, err = toApex(c, spec); err != nil {
		return nil, err
	}
	for _, rule := range mapsIn(spec["rules"]) {
		http, _ := rule["http"].(map[string]any)
		http["paths"] = twice(c, mapsIn(http["paths"]))
	}
	out, _ := prepared(c, o, existing)
	out.Object["spec"] = spec
	own := maps.Clone(orEmpty(k.public.object.GetAnnotations()))
	maps.DeleteFunc(own, func(key, _ string) bool { return !strings.HasPrefix(key, skipperPrefix) })
	annotate(out, skipperPrefix, merged(own, skipperShares(c, own[skipperPredicate], intent)))
	if class := k.public.object.GetAnnotations()[annotationClass]; class != "" {
		annotate(out, annotationClass, map[string]string{annotationClass: class})
	}
	return out, nil
}

// twice returns paths to the apex Service with each of them to the primary and to the canary.
func twice(c *v1beta1.Canary, paths []map[string]any) []any {
	var out []any
	for _, path := range paths {
		for _, side := range []core.Side{core.SidePrimary, core.SideTarget} {
			to := runtime.DeepCopyJSON(path)
			to["backend"].(map[string]any)["service"].(map[string]any)["name"] = sideService(c, side)
			out = append(out, to)
		}
	}
	return out
}

// skipperShares are the annotations of a split; predicates are those of the user.
func skipperShares(c *v1beta1.Canary, predicates string, intent core.RouteIntent) map[string]string {
	first := skipperWins
	if intent.Canary == 0 {
		first = skipperNever
	}
	if predicates != "" {
		first += skipperAnd + predicates
	}
	shares := fmt.Sprintf(`{%q:%d,%q:%d}`, sideService(c, core.SideTarget), intent.Canary, sideService(c, core.SidePrimary), intent.Primary)
	return map[string]string{skipperPredicate: first, skipperWeights: shares}
}

// Read counts nobody on the canary while no request can meet the Ingress. Where weights cannot be read, paths that are alike share requests evenly.
func (k skipper) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	if carrier == nil {
		return missingRef(fieldIngressRef)
	}
	_, primary, canary := c.ServiceNames()
	annotations := carrier.GetAnnotations()
	route := core.Route{Split: core.Split{Primary: 100}, ViaApex: !pathsLeadTo(carrier, primary, canary)}
	never := slices.Contains(strings.Split(annotations[skipperPredicate], skipperAnd), skipperNever)
	if !route.ViaApex && !never {
		weights := map[string]float64{}
		if err := json.Unmarshal([]byte(annotations[skipperWeights]), &weights); err != nil || weights[primary]+weights[canary] <= 0 {
			route.Canary = 50
			route.Problem = fmt.Sprintf("Ingress %s: its annotation %s holds no weights of the Canary's Services", carrier.GetName(), skipperWeights)
		} else {
			route.Canary = share(int64(weights[canary]*1000), int64((weights[primary]+weights[canary])*1000))
		}
		route.Primary = 100 - route.Canary
	}
	return k.public.judged(c, k, carrier, route)
}

func (skipper) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	out := existing.DeepCopy()
	annotations := orEmpty(out.GetAnnotations())
	if annotations[skipperWeights] == "" {
		return out
	}
	if intent.Matched || intent.ViaApex {
		intent.Split = core.Split{Primary: 100}
	}
	predicates := slices.DeleteFunc(strings.Split(annotations[skipperPredicate], skipperAnd), func(p string) bool {
		return p == "" || p == skipperWins || p == skipperNever
	})
	maps.Copy(annotations, skipperShares(c, strings.Join(predicates, skipperAnd), intent))
	spec, ok := out.Object["spec"].(map[string]any)
	if ok && intent.ViaApex {
		delete(annotations, skipperWeights)
		_, primary, canary := c.ServiceNames()
		for _, rule := range mapsIn(spec["rules"]) {
			http, _ := rule["http"].(map[string]any)
			http["paths"] = anys(slices.DeleteFunc(mapsIn(http["paths"]), func(path map[string]any) bool { return ingressService(path["backend"]) == canary }))
		}
		redirectPaths(spec, sideService(c, core.SideUnknown), primary)
	}
	setOrRemove(out, annotations, "annotations")
	return out
}
