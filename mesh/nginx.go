package mesh

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// nginx keeps a canary Ingress beside the user's. Both have the same paths; annotations say who is sent by the canary's, and all others reach the primary
// through the user's Ingress and the apex Service. The spec and the annotations with nginxPrefix are made after the user's Ingress.
type nginx struct{ public model }

const (
	nginxPrefix    = "nginx.ingress.kubernetes.io/"
	nginxCanary    = nginxPrefix + "canary"
	nginxWeight    = nginxCanary + "-weight"
	nginxTotal     = nginxCanary + "-weight-total"
	nginxCookie    = nginxCanary + "-by-cookie"
	nginxHeader    = nginxCanary + "-by-header"
	nginxValue     = nginxHeader + "-value"
	nginxPattern   = nginxHeader + "-pattern"
	nginxCondition = nginxCanary + "-by-"
)

func (nginx) source(c *v1beta1.Canary) (Object, string)        { return ingressSource(c) }
func (nginx) after(source *unstructured.Unstructured) Provider { return nginx{modelOf(source)} }
func (nginx) Objects(c *v1beta1.Canary) []Object               { return ingressObjects(c) }

func (n nginx) Render(c *v1beta1.Canary, o Object, existing *unstructured.Unstructured, intent core.RouteIntent) (*unstructured.Unstructured, error) {
	if err := noCopiesOrCookies(intent); err != nil {
		return nil, err
	}
	if err := ingressOthers(c, existing, nginxCanary); err != nil {
		return nil, err
	}
	source, _ := n.source(c)
	spec, err := n.public.spec(c, fieldIngressRef, source)
	if err != nil {
		return nil, err
	}
	if spec, err = toApex(c, spec); err != nil {
		return nil, err
	}
	conditions, err := nginxConditions(c.Spec.Analysis.Match)
	if err != nil {
		return nil, err
	}
	own, err := nginxShares(intent, conditions)
	if err != nil {
		return nil, err
	}
	if !intent.ViaApex {
		redirectPaths(spec, sideService(c, core.SideTarget), sideService(c, core.SideUnknown))
	}
	out, _ := prepared(c, o, existing)
	out.Object["spec"] = spec
	annotate(out, nginxPrefix, merged(nginxCommon(n.public.object), own))
	if class := n.public.object.GetAnnotations()[annotationClass]; class != "" {
		annotate(out, annotationClass, map[string]string{annotationClass: class})
	}
	return out, nil
}

// nginxCommon are the user's annotations about how requests are served: those about a canary are none of them.
func nginxCommon(public *unstructured.Unstructured) map[string]string {
	out := maps.Clone(orEmpty(public.GetAnnotations()))
	maps.DeleteFunc(out, func(key, _ string) bool {
		return !strings.HasPrefix(key, nginxPrefix) || strings.HasPrefix(key, nginxCanary)
	})
	return out
}

// nginxShares are the annotations of a split. Who meets conditions goes to the canary whatever the weight, which is 0 for all others.
func nginxShares(intent core.RouteIntent, conditions map[string]string) (map[string]string, error) {
	out := map[string]string{nginxCanary: "true", nginxWeight: "0"}
	switch {
	case intent.ViaApex || intent.Canary == 0:
	case !intent.Matched:
		out[nginxWeight] = strconv.Itoa(intent.Canary)
	case len(conditions) == 0:
		return nil, errors.New("spec.analysis.match is empty, so there is no condition to limit the canary to; set it or end the analysis")
	case intent.Canary < 100:
		return nil, errors.New("spec.analysis.match: a canary Ingress cannot share out those who meet a condition by weight; set iterations for A/B testing")
	default:
		maps.Copy(out, conditions)
	}
	return out, nil
}

// nginxConditions are the annotations of the conditions of an analysis: one header, one cookie, either of which is enough.
func nginxConditions(entries []v1beta1.AnalysisMatch) (map[string]string, error) {
	out := map[string]string{}
	for i, m := range entries {
		field := fmt.Sprintf("spec.analysis.match[%d]", i)
		if len(m.Headers) != 1 || len(m.QueryParams)+len(m.SourceLabels) > 0 {
			return nil, fmt.Errorf("%s: a canary Ingress compares one header or one cookie; use one header and nothing else", field)
		}
		for name, how := range m.Headers {
			condition, err := nginxOne(name, how)
			if err != nil {
				return nil, fmt.Errorf("%s.headers[%s] %w", field, name, err)
			}
			for key := range condition {
				if _, taken := out[key]; taken || key == nginxValue && out[nginxPattern] != "" {
					return nil, fmt.Errorf("%s: a canary Ingress has room for one header and one cookie; remove it", field)
				}
			}
			maps.Copy(out, condition)
		}
	}
	return out, nil
}

// nginxOne are the annotations of one condition. Of a cookie the Canary gives the name; its value is always.
func nginxOne(name string, how v1beta1.StringMatch) (map[string]string, error) {
	cookie := strings.EqualFold(name, headerCookie)
	switch {
	case cookie && how.Exact != "":
		return map[string]string{nginxCookie: how.Exact}, nil
	case cookie:
		return nil, errors.New("must name the cookie, whose value is always; set exact")
	case how.Exact != "":
		return map[string]string{nginxHeader: name, nginxValue: how.Exact}, nil
	case how.Regex != "":
		return map[string]string{nginxHeader: name, nginxPattern: how.Regex}, nil
	}
	return nil, errors.New("has no condition that a canary Ingress can express; set exact or regex")
}

// Read reports what the annotations say. Conditions that are not the Canary's may be met by anybody.
func (n nginx) Read(c *v1beta1.Canary, carrier *unstructured.Unstructured) core.Route {
	if carrier == nil {
		return missingRef(fieldIngressRef)
	}
	annotations := carrier.GetAnnotations()
	route := core.Route{ViaApex: !pathsLeadTo(carrier, sideService(c, core.SideTarget))}
	switch found := nginxFound(annotations); {
	case annotations[nginxCanary] != "true":
		route.Split = core.Split{Primary: 100}
		route.Problem = fmt.Sprintf("Ingress %s is no canary: its annotation %s is not \"true\"", carrier.GetName(), nginxCanary)
	case len(found) > 0:
		route.Split = core.Split{Canary: 100}
		own, err := nginxConditions(c.Spec.Analysis.Match)
		route.Matched = err == nil && maps.Equal(own, found) && nginxNumber(annotations[nginxWeight], 0) == 0
	default:
		route.Canary = share(nginxNumber(annotations[nginxWeight], 0), nginxNumber(annotations[nginxTotal], 100))
		route.Primary = 100 - route.Canary
	}
	if route.ViaApex {
		route.Split = core.Split{Primary: 100}
	}
	return n.public.judged(c, n, carrier, route)
}

// nginxFound are the conditions of an Ingress.
func nginxFound(annotations map[string]string) map[string]string {
	out := maps.Clone(orEmpty(annotations))
	maps.DeleteFunc(out, func(key, _ string) bool { return !strings.HasPrefix(key, nginxCondition) })
	return out
}

func nginxNumber(text string, otherwise int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return otherwise
	}
	return min(max(n, 0), 1_000_000)
}

// Divert leaves conditions as they are where the intent has some, for those who meet them; it brings none in.
func (nginx) Divert(c *v1beta1.Canary, existing *unstructured.Unstructured, intent core.RouteIntent) *unstructured.Unstructured {
	out := existing.DeepCopy()
	annotations := orEmpty(out.GetAnnotations())
	if annotations[nginxCanary] == "" {
		return out
	}
	found := nginxFound(annotations)
	if intent.Matched && intent.Canary == 100 && len(found) == 0 {
		intent.Split = core.Split{Primary: 100}
	}
	own, err := nginxShares(intent, found)
	if err != nil {
		own, _ = nginxShares(core.RouteIntent{Split: core.Split{Primary: 100}}, nil)
	}
	maps.DeleteFunc(annotations, func(key, _ string) bool { return strings.HasPrefix(key, nginxCanary) })
	maps.Copy(annotations, own)
	setOrRemove(out, annotations, "annotations")
	if spec, ok := out.Object["spec"].(map[string]any); ok && intent.ViaApex {
		redirectPaths(spec, sideService(c, core.SideUnknown), sideService(c, core.SideTarget))
	}
	return out
}
