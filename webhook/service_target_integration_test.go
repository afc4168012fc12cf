//go:build integration

package webhook

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

func serviceLeading(ns string, selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "podinfo"},
		Spec:       corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

func canaryOfService(ns string) *v1beta1.Canary {
	c := canary(ns, "podinfo")
	c.Spec.TargetRef = v1beta1.LocalObjectReference{APIVersion: "v1", Kind: "Service", Name: "podinfo"}
	c.Spec.Service = v1beta1.CanaryService{Port: 80, GatewayRefs: c.Spec.Service.GatewayRefs}
	return c
}

// Where a Service leads when its Canary is admitted is the baseline. What it is changed to afterwards is nothing that admission is asked about: nobody
// gets there by the copies.
func TestServiceAsTarget(t *testing.T) {
	ns := namespace(t)
	s := serviceLeading(ns, map[string]string{"app": "v1"})
	must(t, world.admin.Create(t.Context(), s))
	must(t, world.admin.Create(t.Context(), canaryOfService(ns)))
	kept := snapshotsOfTarget(t, ns, revision.Target{Kind: revision.Service, Name: "podinfo"})
	if len(kept) != 1 || kept[0].Baseline.IsZero() || kept[0].Target.Kind != "Service" || !strings.Contains(string(kept[0].Template), `"app":"v1"`) {
		t.Fatalf("snapshots %+v, want a baseline", kept)
	}
	must(t, world.admin.Get(t.Context(), client.ObjectKeyFromObject(s), s))
	if l := s.Labels; l[v1beta1.LabelCanary] != "podinfo" {
		t.Errorf("labels %v, want those by which it is cached", l)
	}
	before := calls(t, PathWorkloads)
	must(t, world.admin.Patch(t.Context(), s.DeepCopy(), mergePatch(`{"spec":{"selector":{"app":"v2"}}}`)))
	if n := calls(t, PathWorkloads) - before; n != 0 {
		t.Errorf("%v calls, want none", n)
	}
}

// A Service beside its primary may lead to what nobody has analysed: a cluster was restored in the middle of a rollout.
func TestServiceBesideItsPrimaryIsNoBaseline(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), serviceLeading(ns, map[string]string{"app": "v2"})))
	primary := serviceLeading(ns, map[string]string{"app": "v1"})
	primary.Name = "podinfo-primary"
	must(t, world.admin.Create(t.Context(), primary))
	must(t, world.admin.Create(t.Context(), canaryOfService(ns)))
	if kept := snapshotsOfTarget(t, ns, revision.Target{Kind: revision.Service, Name: "podinfo"}); len(kept) != 0 {
		t.Errorf("snapshots %+v, want none", kept)
	}
}

func TestServiceThatCannotBeCopied(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), serviceLeading(ns, nil)))
	err := world.admin.Create(t.Context(), canaryOfService(ns))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.targetRef: "Service/podinfo" has no selector`) {
		t.Errorf("error %v, want a refusal", err)
	}
}

// A target that was taken up is not left behind, also while no webhook runs.
func TestTargetThatWasTakenUpStays(t *testing.T) {
	ns := namespace(t)
	must(t, world.admin.Create(t.Context(), deployment(ns, "other", "podinfo:1")))
	tracked(t, ns, "podinfo", false)
	must(t, world.admin.Status().Patch(t.Context(), canary(ns, "podinfo"), mergePatch(`{"status":{"phase":"Initialized","currentRevision":"1"}}`)))
	for _, patch := range []string{`{"spec":{"targetRef":{"name":"other"}}}`, `{"spec":{"targetRef":{"kind":"DaemonSet"}}}`} {
		err := world.admin.Patch(t.Context(), canary(ns, "podinfo"), mergePatch("%s", patch))
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "delete the Canary, which gives") {
			t.Errorf("%s by a user: %v, want a refusal with the way out", patch, err)
		}
		// Admission does not judge Sluice's own requests; the schema does.
		if err := world.sluice.Patch(t.Context(), canary(ns, "podinfo"), mergePatch("%s", patch)); !apierrors.IsInvalid(err) {
			t.Errorf("%s past admission: %v, want a refusal", patch, err)
		}
	}
	must(t, world.admin.Patch(t.Context(), canary(ns, "podinfo"), mergePatch(`{"spec":{"suspend":true}}`)))
	// Given back, it may turn elsewhere.
	must(t, world.admin.Status().Patch(t.Context(), canary(ns, "podinfo"), mergePatch(`{"status":{"phase":"","currentRevision":null}}`)))
	must(t, world.admin.Patch(t.Context(), canary(ns, "podinfo"), mergePatch(`{"spec":{"targetRef":{"name":"other"}}}`)))
}
