package mesh

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// acceptance tells whether every gateway of the Canary has accepted this generation of the route. A gateway that has yet to see the newest
// generation is merely waited for; a refusal or silence is a problem.
func acceptance(c *v1beta1.Canary, route *unstructured.Unstructured) (bool, string) {
	var status gatewayv1.RouteStatus
	if raw, ok := route.Object["status"].(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &status); err != nil {
			return false, fmt.Sprintf("the status of HTTPRoute %s cannot be read: %v", route.GetName(), err)
		}
	}
	accepted := len(c.Spec.Service.GatewayRefs) > 0
	for _, ref := range c.Spec.Service.GatewayRefs {
		ok, problem := acceptedBy(ref, status.Parents, route)
		if problem != "" {
			return false, problem
		}
		accepted = accepted && ok
	}
	return accepted, ""
}

// acceptedBy judges the answers for one parent. Where several controllers answer for the same parent, one that accepts is enough.
func acceptedBy(ref gatewayv1.ParentReference, answers []gatewayv1.RouteParentStatus, route *unstructured.Unstructured) (bool, string) {
	answered, problem := false, ""
	for _, answer := range answers {
		if !sameParent(answer.ParentRef, ref, route.GetNamespace()) {
			continue
		}
		answered = true
		ok, refusal := judge(answer.Conditions, route.GetGeneration())
		if ok {
			return true, ""
		}
		if refusal != "" {
			problem = fmt.Sprintf("%s refuses HTTPRoute %s: %s", parentName(ref, route.GetNamespace()), route.GetName(), refusal)
		}
	}
	if !answered {
		return false, fmt.Sprintf("%s has not answered for HTTPRoute %s; check that it exists, has a listener for the route's hosts and that its controller runs",
			parentName(ref, route.GetNamespace()), route.GetName())
	}
	return false, problem
}

// judge reads the conditions of one parent at generation. Accepted must be True. ResolvedRefs False means that a backend is unusable, PartiallyInvalid
// True that the controller goes by other rules than those written.
func judge(conditions []metav1.Condition, generation int64) (ok bool, refusal string) {
	for _, want := range []struct {
		kind gatewayv1.RouteConditionType
		bad  metav1.ConditionStatus
	}{
		{gatewayv1.RouteConditionAccepted, metav1.ConditionFalse},
		{gatewayv1.RouteConditionResolvedRefs, metav1.ConditionFalse},
		{gatewayv1.RouteConditionPartiallyInvalid, metav1.ConditionTrue},
	} {
		cond := meta.FindStatusCondition(conditions, string(want.kind))
		if cond != nil && cond.ObservedGeneration == generation && cond.Status == want.bad {
			return false, fmt.Sprintf("%s is %s, reason %s: %s", cond.Type, cond.Status, cond.Reason, cond.Message)
		}
	}
	accepted := meta.FindStatusCondition(conditions, string(gatewayv1.RouteConditionAccepted))
	return accepted != nil && accepted.ObservedGeneration == generation && accepted.Status == metav1.ConditionTrue, ""
}

// sameParent compares two references with their defaults filled in. Some meshes write the core group as "core".
func sameParent(a, b gatewayv1.ParentReference, namespace string) bool {
	return parentKey(a, namespace) == parentKey(b, namespace)
}

type parent struct {
	group, kind, namespace, name, section string
	port                                  int32
}

func parentKey(ref gatewayv1.ParentReference, namespace string) parent {
	key := parent{
		group:     string(*orDefault(ref.Group, gatewayv1.Group(gatewayv1.GroupName))),
		kind:      string(*orDefault(ref.Kind, gatewayv1.Kind("Gateway"))),
		namespace: string(*orDefault(ref.Namespace, gatewayv1.Namespace(namespace))),
		name:      string(ref.Name),
		section:   string(*orDefault(ref.SectionName, gatewayv1.SectionName(""))),
		port:      *orDefault(ref.Port, 0),
	}
	if key.group == "core" {
		key.group = ""
	}
	return key
}

func parentName(ref gatewayv1.ParentReference, namespace string) string {
	key := parentKey(ref, namespace)
	return fmt.Sprintf("%s %s/%s", key.kind, key.namespace, key.name)
}
