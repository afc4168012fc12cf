package mesh

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file holds what providers have in common whose object is made after one of the user's.

// model is the object of the user's after which a provider makes its own.
type model struct {
	object *unstructured.Unstructured
	// sought tells that it was looked for; without an object it is missing then.
	sought bool
}

func modelOf(u *unstructured.Unstructured) model { return model{object: u, sought: true} }

// spec returns a copy of the model's spec, or why there is none: field is where the Canary names the object.
func (m model) spec(c *v1beta1.Canary, field string, o Object) (map[string]any, error) {
	return m.specIn(c.Namespace, field, o)
}

// specIn is the same of an object in another namespace than the Canary's.
func (m model) specIn(namespace, field string, o Object) (map[string]any, error) {
	if m.object == nil {
		return nil, fmt.Errorf("%s: %s does not exist in namespace %s; create it, or name another", field, o, namespace)
	}
	spec, ok := m.object.DeepCopy().Object["spec"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: %s in namespace %s has no spec; complete it, or name another", field, o, namespace)
	}
	return spec, nil
}

// judged completes what was read of a derived object by what keeps the next one from being rendered.
func (m model) judged(c *v1beta1.Canary, p Provider, carrier *unstructured.Unstructured, route core.Route) core.Route {
	route.Exists, route.Accepted = true, route.Problem == ""
	if !m.sought || !route.Accepted {
		return route
	}
	o := Object{Kind: carrier.GroupVersionKind(), Name: carrier.GetName()}
	if _, err := p.Render(c, o, nil, core.RouteIntent{Split: core.Split{Primary: 100}}); err != nil {
		route.Accepted, route.Problem = false, err.Error()
	}
	return route
}

// missingRef is what a provider says of a Canary that does not name the object it needs.
func missingRef(field string) core.Route {
	return core.Route{Problem: field + " is required by this provider; name the object that leads to the apex Service"}
}

// annotate replaces all annotations of u with the prefix by others.
func annotate(u *unstructured.Unstructured, prefix string, by map[string]string) {
	annotations := orEmpty(u.GetAnnotations())
	maps.DeleteFunc(annotations, func(key, _ string) bool { return strings.HasPrefix(key, prefix) })
	maps.Copy(annotations, by)
	setOrRemove(u, annotations, "annotations")
}

// noCopiesOrCookies refuses what a provider has no words for beside conditions.
func noCopiesOrCookies(intent core.RouteIntent) error {
	switch {
	case intent.Mirror > 0:
		return errors.New("spec.analysis.mirror: this provider copies no requests; remove it")
	case intent.Cookie != "" || intent.PrimaryCookie != "":
		return errors.New("spec.analysis.sessionAffinity: this provider gives no cookies; remove it")
	}
	return nil
}

// merged returns annotations with further ones.
func merged(annotations, more map[string]string) map[string]string {
	out := maps.Clone(annotations)
	maps.Copy(out, more)
	return out
}
