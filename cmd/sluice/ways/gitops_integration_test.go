//go:build integration

package ways

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// syncs are how manifests are brought to a cluster again and again.
var syncs = map[string][]string{
	"kubectl apply": {"apply"},
	"Argo CD":       {"apply", "--server-side", "--field-manager=argocd-controller", "--force-conflicts"},
	"Flux":          {"apply", "--server-side", "--field-manager=kustomize-controller", "--force-conflicts"},
}

// TestResync applies the same manifests again and again, as GitOps does, between rollouts and during one: admission is not asked, no object changes,
// no rollout is begun and no difference is left. It runs while no other test does, because calls of admission are counted.
func TestResync(t *testing.T) {
	a := adopted(t)
	for name, sync := range syncs {
		a.deployment(1, "")
		a.resync(name+", between rollouts", sync)
		// Replicas in Git start pods that serve nobody, once.
		a.version(1)
		a.resync(name+", between rollouts with replicas in Git", sync)
		if got := *a.target().Spec.Replicas; got != 2 {
			t.Errorf("%s: %d replicas on the idle target, want those of Git", name, got)
		}
	}
	a.unanalysed(0)
	world.set(a.ns, true)
	a.deployment(2, "")
	a.kubectl("apply", "--server-side", "--field-manager=argocd-controller", "--force-conflicts", "-f", a.dir)
	a.halfway("web:2", 1)
	for name, sync := range syncs {
		a.deployment(2, "")
		a.resync(name+", during a rollout", sync)
		a.version(2)
		a.resync(name+", during a rollout with replicas in Git", sync)
	}
	a.halfway("web:2", 1)
}

// resync applies the folder once, and then checks that doing so again is nothing.
func (a *app) resync(name string, sync []string) {
	a.Helper()
	line := append(append([]string{}, sync...), "-f", a.dir)
	asked := calls(a.T)
	a.kubectl(line...)
	before := a.stored()
	for range 2 {
		if out := a.kubectl(line...); strings.Contains(out, "Warning") {
			a.Errorf("%s: a warning: %s", name, out)
		}
	}
	if after := a.stored(); after != before {
		a.Errorf("%s: objects were changed: %s, before %s", name, after, before)
	}
	if n := calls(a.T) - asked; n != 0 {
		a.Errorf("%s: admission was asked %d times", name, n)
	}
	// The Canary's own status changes while kubectl compares.
	compare := append(append([]string{"diff"}, sync[1:]...), "-f", filepath.Join(a.dir, "deployment.yaml"), "-f", filepath.Join(a.dir, "settings.yaml"))
	if out, err := a.try(compare...); err != nil {
		a.Errorf("%s: a difference is left: %v: %s", name, err, out)
	}
}

// stored are the generations of what Git holds: status is written by others at any time.
func (a *app) stored() string {
	a.Helper()
	var settings corev1.ConfigMap
	if err := world.admin.Get(a.Context(), client.ObjectKey{Namespace: a.ns, Name: "settings"}, &settings); err != nil {
		a.Fatal(err)
	}
	d := a.target()
	var fields []string
	for _, f := range append(d.ManagedFields, settings.ManagedFields...) {
		if f.Subresource == "" {
			fields = append(fields, fmt.Sprint(f.Manager, f.Operation, f.Time, f.FieldsV1))
		}
	}
	return strings.Join(append(fields, settings.ResourceVersion), " ")
}

// TestConflict applies server-side without force: who names the replicas is told that Sluice has set them.
func TestConflict(t *testing.T) {
	t.Parallel()
	a := adopted(t)
	a.deployment(1, "")
	a.kubectl("apply", "--server-side", "--field-manager=person", "--force-conflicts", "-f", a.dir)
	out, err := a.try("apply", "--server-side", "--field-manager=person", "-f", a.version(1))
	if err == nil || !strings.Contains(out, ".spec.replicas") {
		t.Errorf("%v: %s", err, out)
	}
	a.deployment(1, "")
	a.kubectl("apply", "--server-side", "--field-manager=person", "-f", a.dir)
}
