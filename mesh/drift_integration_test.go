//go:build integration

package mesh

import (
	"context"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Somebody changes the weights in the middle of a rollout: they are put back to those in force, and what was changed by whom is told once. What the
// plan changes, what others add beside the Canary's rules, and a fence are not told.
func TestDriftIsTold(t *testing.T) {
	s := newStage(t)
	var told []core.Drift
	s.router.Drifted = func(c *v1beta1.Canary, d core.Drift) {
		if c.Name != s.canary.Name {
			t.Errorf("told of Canary %s", c.Name)
		}
		told = append(told, d)
	}
	edit := func(who string, change func(*unstructured.Unstructured)) {
		t.Helper()
		u := s.live()
		before := u.DeepCopy()
		change(u)
		if err := world.admin.Patch(t.Context(), u, client.MergeFrom(before), client.FieldOwner(who)); err != nil {
			t.Fatal(err)
		}
		s.synced()
	}
	weight := func(rule int, of int64) func(*unstructured.Unstructured) {
		return func(u *unstructured.Unstructured) {
			rules := mapsIn(u.Object["spec"].(map[string]any)["rules"])
			mapsIn(rules[rule]["backendRefs"])[1]["weight"] = of
		}
	}
	nothing := func(after string) {
		t.Helper()
		if len(told) != 0 {
			t.Errorf("after %s it was told of %+v", after, told)
		}
		told = nil
	}
	weightWas := func(after, path, was, now, by string) {
		t.Helper()
		want := []core.DriftField{{Path: path, Was: was, Now: now}}
		if len(told) != 1 || told[0].Kind != "HTTPRoute" || told[0].Name != "podinfo" || told[0].By != by || !slices.Equal(told[0].Fields, want) {
			t.Errorf("after %s it was told of %+v, want %+v by %s", after, told, want, by)
		}
		told = nil
	}

	s.write(90, 10)
	s.write(80, 20)
	nothing("two steps")

	edit("kubectl-edit", weight(0, 77))
	if got := s.write(80, 20); got.Canary != 20 {
		t.Errorf("put back to %+v", got)
	}
	weightWas("an edit", "spec.rules[0].backendRefs[1].weight", "77", "20", "kubectl-edit")
	s.write(80, 20)
	nothing("another look")

	docs := map[string]any{
		"matches":     []any{map[string]any{"path": map[string]any{"type": "Exact", "value": "/docs"}}},
		"backendRefs": []any{map[string]any{"group": "", "kind": "Service", "name": "docs", "port": int64(80), "weight": int64(1)}},
	}
	edit("docs-team", func(u *unstructured.Unstructured) {
		spec := u.Object["spec"].(map[string]any)
		spec["rules"] = append([]any{docs}, spec["rules"].([]any)...)
		u.SetAnnotations(map[string]string{"theirs": "annotation", "kustomize.toolkit.fluxcd.io/reconcile": "disabled", "helm.toolkit.fluxcd.io/driftDetection": "disabled"})
	})
	s.write(70, 30)
	nothing("a rule of others before a step")

	edit("another", weight(1, 99))
	s.write(60, 40)
	weightWas("an edit and a step at once", "spec.rules[1].backendRefs[1].weight", "99", "40", "another")

	if err := s.router.Fence(t.Context(), s.canary, v1beta1.Fence{Cause: "configmap/page"}); err != nil {
		t.Fatal(err)
	}
	s.synced()
	s.write(60, 40)
	nothing("a fence that was taken off")

	edit("labeller", func(u *unstructured.Unstructured) { u.SetLabels(nil) })
	s.write(60, 40)
	if len(told) != 1 || len(told[0].Fields) != 1 || told[0].Fields[0] != (core.DriftField{Path: "metadata.labels", Now: `{"sluice.dev/canary":"podinfo"}`}) &&
		told[0].Fields[0] != (core.DriftField{Path: "metadata.labels[sluice.dev/canary]", Now: `"podinfo"`}) {
		t.Errorf("after a label was taken off it was told of %+v", told)
	}
	told = nil

	if err := world.admin.Delete(t.Context(), s.live()); err != nil {
		t.Fatal(err)
	}
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		// What was written a moment ago is believed to be there until a write finds that it is not.
		_, err := s.router.Write(ctx, s.canary, core.RouteIntent{Split: core.Split{Primary: 60, Canary: 40}})
		return err == nil && len(told) > 0, client.IgnoreNotFound(ignoreConflict(err))
	})
	if err != nil || len(told) != 1 || !told[0].Deleted || told[0].Name != "podinfo" {
		t.Errorf("after the route was deleted: %v, it was told of %+v", err, told)
	}
	told = nil
	s.synced()

	if err := s.router.GiveBack(t.Context(), s.canary); err != nil {
		t.Fatal(err)
	}
	s.synced()
	s.write(100, 0)
	nothing("giving the route back and taking it again")
}

func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}
