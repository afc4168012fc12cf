package validation

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Reference is an object that a Canary names and that may not exist (yet).
type Reference struct {
	// Field that names it, as a path.
	Field string
	// APIVersion of the object; for a Gateway only the group is known, and the version is the one that the cluster serves.
	APIVersion string
	Kind       string
	Namespace  string
	Name       string
}

// References lists what a Canary names and others make, in the order of the spec.
func References(c *v1beta1.Canary) []Reference {
	return slices.Concat(specReferences(c), foreignParents(c), analysisReferences(c))
}

// specReferences are those of the spec itself: the workload, what scales it, and what leads traffic to it.
func specReferences(c *v1beta1.Canary) []Reference {
	local := func(field string, r *v1beta1.LocalObjectReference) Reference {
		return Reference{field, r.APIVersion, r.Kind, c.Namespace, r.Name}
	}
	s := &c.Spec
	refs := []Reference{local(fieldTarget, &s.TargetRef)}
	if s.AutoscalerRef != nil {
		refs = append(refs, local("spec.autoscalerRef", &s.AutoscalerRef.LocalObjectReference))
	}
	if s.IngressRef != nil {
		refs = append(refs, local("spec.ingressRef", s.IngressRef))
	}
	if s.RouteRef != nil {
		refs = append(refs, local("spec.routeRef", s.RouteRef))
	}
	if u := s.UpstreamRef; u != nil {
		ref := local("spec.upstreamRef", &u.LocalObjectReference)
		ref.Namespace = orDefault(u.Namespace, c.Namespace)
		refs = append(refs, ref)
	}
	return refs
}

// foreignParents are what a Canary's routes belong to and others make. With a mesh the parent is the Canary's own Service, which is made with the route.
func foreignParents(c *v1beta1.Canary) []Reference {
	apex, _, _ := c.ServiceNames()
	return slices.DeleteFunc(parents(c), func(r Reference) bool {
		return r.APIVersion == "v1" && r.Kind == "Service" && r.Namespace == c.Namespace && r.Name == apex
	})
}

// analysisReferences are the metric templates and the alert providers that an analysis uses.
func analysisReferences(c *v1beta1.Canary) []Reference {
	own := func(field, kind string, r v1beta1.CrossNamespaceReference) Reference {
		return Reference{field, v1beta1.GroupVersion.String(), kind, orDefault(r.Namespace, c.Namespace), r.Name}
	}
	var refs []Reference
	for i, m := range c.Spec.Analysis.Metrics {
		if m.TemplateRef != nil {
			refs = append(refs, own(fmt.Sprintf("spec.analysis.metrics[%d].templateRef", i), v1beta1.MetricTemplateKind, *m.TemplateRef))
		}
	}
	for i, a := range c.Spec.Analysis.Alerts {
		refs = append(refs, own(fmt.Sprintf("spec.analysis.alerts[%d].providerRef", i), v1beta1.AlertProviderKind, a.ProviderRef))
	}
	return refs
}

// Gateways are the Gateways of Gateway API that a Canary's routes belong to.
func Gateways(c *v1beta1.Canary) []Reference {
	return slices.DeleteFunc(parents(c), func(r Reference) bool {
		return r.Kind != "Gateway" || !strings.HasPrefix(r.APIVersion, gatewayv1.GroupName+"/")
	})
}

// parents are what a Canary's routes belong to, in the order of the spec.
func parents(c *v1beta1.Canary) []Reference {
	var refs []Reference
	for i, g := range c.Spec.Service.GatewayRefs {
		refs = append(refs, parent(fmt.Sprintf("spec.service.gatewayRefs[%d]", i), c.Namespace, g))
	}
	return refs
}

func parent(field, namespace string, g gatewayv1.ParentReference) Reference {
	ref := Reference{Field: field, APIVersion: gatewayv1.GroupVersion.String(), Kind: "Gateway", Namespace: namespace, Name: string(g.Name)}
	if g.Group != nil && string(*g.Group) != gatewayv1.GroupName {
		ref.APIVersion = string(*g.Group) + "/v1"
		if *g.Group == "" || *g.Group == "core" {
			ref.APIVersion = "v1"
		}
	}
	if g.Kind != nil {
		ref.Kind = string(*g.Kind)
	}
	if g.Namespace != nil {
		ref.Namespace = string(*g.Namespace)
	}
	return ref
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// references warns of what is missing: it may arrive later, in the same apply or by another hand.
func (r *review) references() {
	s := &r.canary.Spec
	for _, m := range r.opts.Facts.Missing {
		name := m.Name
		if m.Namespace != r.canary.Namespace {
			name = m.Namespace + "/" + m.Name
		}
		r.warn(m.Field, m.Kind+"/"+name, "does not exist; the Canary waits until it is created")
	}
	if u := s.UpstreamRef; u != nil {
		r.namespace("spec.upstreamRef.namespace", u.Namespace)
	}
}
