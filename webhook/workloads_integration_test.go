//go:build integration

package webhook

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestSmoke(t *testing.T) {
	ns := namespace(t)
	d := deployment(ns, "podinfo", "podinfo:1")
	if err := world.admin.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	c := canary(ns, "podinfo")
	if err := world.admin.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Log(world.warnings.take())
	if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
		t.Fatal(err)
	}
	t.Log(d.Labels)
	d.Spec.Template.Spec.Containers[0].Image = "podinfo:2"
	if err := world.admin.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	t.Log(world.warnings.take(), d.Annotations, d.Spec.Paused, calls(t, PathWorkloads), calls(t, PathCanaries), v1beta1.LabelCanary)
}
