package query

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// VarsOf returns the values that the queries of one metric of a Canary can name, with Flagger's defaults: service is service.name or
// the target, ingress and route the referenced object or the target, the interval 1m when the metric names none.
func VarsOf(canary *v1beta1.Canary, metric *v1beta1.CanaryMetric) Vars {
	target := canary.Spec.TargetRef.Name
	v := Vars{
		Name:       canary.Name,
		Namespace:  canary.Namespace,
		Target:     target,
		Service:    cmp.Or(canary.Spec.Service.Name, target),
		Ingress:    target,
		Route:      target,
		Interval:   window(metric.Interval),
		Variables:  metric.TemplateVariables,
		TargetKind: canary.Spec.TargetRef.Kind,
	}
	if canary.Spec.IngressRef != nil {
		v.Ingress = canary.Spec.IngressRef.Name
	}
	if canary.Spec.RouteRef != nil {
		v.Route = canary.Spec.RouteRef.Name
	}
	return v
}

// window writes an interval as metric servers read it: as it stands, but without fractions, which PromQL does not know.
func window(interval v1beta1.Duration) string {
	if !strings.Contains(string(interval), ".") {
		return string(interval)
	}
	d, err := interval.Parse()
	if err != nil {
		return string(interval)
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}
