package mesh

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file is the dialect of a VirtualService.

// overTCP tells whether the application speaks TCP that is not HTTP.
func overTCP(c *v1beta1.Canary) bool { return strings.EqualFold(c.Spec.Service.AppProtocol, "tcp") }

func (istio) list(c *v1beta1.Canary) []string {
	if overTCP(c) {
		return []string{"spec", "tcp"}
	}
	return []string{"spec", "http"}
}

func (istio) words() (string, []string) {
	return "match", []string{"match", "rewrite", "timeout", "retries", "corsPolicy", "headers", "mirror", "mirrorPercentage", "route"}
}

func (istio) destinations(rule map[string]any) []map[string]any { return mapsIn(rule["route"]) }

func (istio) redirect(rule map[string]any, to []any) { rule["route"] = to }

func (istio) leads(ref map[string]any, namespace string) string {
	host, _, _ := unstructured.NestedString(ref, "destination", "host")
	return serviceOfHost(host, namespace)
}

// serviceOfHost returns the name of the Service in a namespace that a host stands for; empty for any other.
func serviceOfHost(host, namespace string) string {
	name, in, qualified := strings.Cut(host, ".")
	if qualified && !slices.Contains([]string{namespace, namespace + ".svc", namespace + ".svc.cluster.local"}, in) {
		return ""
	}
	return name
}

// weight is all where a single destination says none, and nothing for one of several.
func (istio) weight(ref map[string]any, n int) int64 {
	weight, said := ref["weight"].(int64)
	if !said && n == 1 {
		return 100
	}
	return weight
}

func (istio) acts(rule map[string]any) bool {
	return slices.ContainsFunc([]string{"redirect", "directResponse", "delegate"}, func(field string) bool { return rule[field] != nil })
}

func (istio) cookieConditions(match map[string]any) []string {
	var out []string
	headers, _ := match["headers"].(map[string]any)
	for name, condition := range headers {
		if how, ok := condition.(map[string]any); ok && strings.EqualFold(name, headerCookie) {
			out = append(out, text(how["regex"]))
		}
	}
	return out
}

func (istio) cookiesSet(of map[string]any) []string {
	var out []string
	added, _, _ := unstructured.NestedMap(of, "headers", "response", "add")
	for name, value := range added {
		if strings.EqualFold(name, headerSetCookie) {
			out = append(out, text(value))
		}
	}
	return out
}

func (istio) copies(s services, _ *v1beta1.Canary, rule map[string]any) int {
	if !istioCopies(s, rule, s.canary) {
		return 0
	}
	percentage, _ := rule["mirrorPercentage"].(map[string]any)
	switch value := percentage["value"].(type) {
	case int64:
		return int(value)
	case float64:
		return share(int64(value*1000), 100_000)
	}
	return 100
}

func istioCopies(s services, rule map[string]any, to ...string) bool {
	mirror, _ := rule["mirror"].(map[string]any)
	side := s.side(map[string]any{"destination": mirror})
	return side != "" && slices.Contains(to, side)
}

func (istio) stopCopies(s services, rule map[string]any, to ...string) {
	if istioCopies(s, rule, to...) {
		delete(rule, "mirror")
		delete(rule, "mirrorPercentage")
	}
}

func (istio) kept(_, own map[string]any) map[string]any { return own }
