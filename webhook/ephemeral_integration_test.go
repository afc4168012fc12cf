//go:build integration

package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

func ephemeralCanaryIn(ns string) *v1beta1.Canary {
	c := canary(ns, "podinfo")
	c.Spec.Primary = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral}
	return c
}

// guardedTarget creates a Deployment that serves by itself, as the reconciler leaves it once its revision is stored.
func guardedTarget(t *testing.T, ns string) *appsv1.Deployment {
	t.Helper()
	d := deployment(ns, "podinfo", "podinfo:1")
	must(t, world.admin.Create(t.Context(), d))
	c := ephemeralCanaryIn(ns)
	must(t, world.admin.Create(t.Context(), c))
	setStatus(t, c, false)
	must(t, world.sluice.Patch(t.Context(), d, mergePatch(`{"metadata":{"labels":{%q:"true"}}}`, v1beta1.LabelGuarded)))
	world.warnings.take()
	return d
}

// However a target that serves is changed, between rollouts too, it is stored without rolling out and stays guarded.
func TestGuardedTargetIsHeld(t *testing.T) {
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			d := guardedTarget(t, ns)
			for _, image := range []string{"podinfo:2", "podinfo:3", "podinfo:1"} {
				must(t, change(t, d, image))
				expectHeld(t, d, image)
				if l := stored(t, d).GetLabels(); l[v1beta1.LabelGuarded] != "true" {
					t.Fatalf("labels %v after the change to %s, want the guard", l, image)
				}
			}
			if got := images(t, ns, "podinfo"); !slices.Equal(got, []string{"podinfo:1", "podinfo:2", "podinfo:3"}) {
				t.Errorf("snapshots of %q, want all that was replaced", got)
			}
		})
	}
}

// A label that somebody takes off is put back: without it a change that went by would be let through.
func TestGuardIsPutBack(t *testing.T) {
	ns := namespace(t)
	d := guardedTarget(t, ns)
	must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"metadata":{"labels":null}}`)))
	if l := stored(t, d).GetLabels(); l[v1beta1.LabelGuarded] != "true" || l[v1beta1.LabelTracked] != v1beta1.TrackedTarget {
		t.Errorf("labels %v, want the guard", l)
	}
	must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"metadata":{"labels":{%q:null}}}`, v1beta1.LabelGuarded)))
	if l := stored(t, d).GetLabels(); l[v1beta1.LabelGuarded] != "true" {
		t.Errorf("labels %v after the guard alone was taken off, want it back", l)
	}
}

// What takes the place of a deleted target starts no pods before its turn.
func TestRecreatedGuardedTargetIsHeld(t *testing.T) {
	ns := namespace(t)
	d := guardedTarget(t, ns)
	awaitReach(t, ns)
	must(t, world.admin.Delete(t.Context(), d))
	must(t, world.admin.Create(t.Context(), deployment(ns, "podinfo", "podinfo:2")))
	expectHeld(t, d, "podinfo:2")
}

// A change that the mutating phase has missed is refused with the way out; what is no change, and a deletion, is nobody's business.
func TestUnheldChangeOfAGuardedTargetIsDenied(t *testing.T) {
	ns := namespace(t)
	d := guardedTarget(t, ns)
	stripped(t, ns)
	err := ways["json patch"](t, d, "podinfo:2")
	if err == nil || !strings.Contains(err.Error(), "is guarded by canary podinfo, and this change of it is not held") ||
		!strings.Contains(err.Error(), "exempt objects with the label "+v1beta1.LabelGuarded) {
		t.Fatalf("error %v, want a refusal with the way out", err)
	}
	if u := stored(t, d); strings.Contains(mustJSON(t, u.Object["spec"]), "podinfo:2") {
		t.Error("the change is stored all the same")
	}
	must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"spec":{"replicas":3}}`)))
	must(t, world.admin.Delete(t.Context(), d))
}

// While the webhook is away a guarded target cannot be changed; all else can, and nothing is kept from being deleted.
func TestGuardWhileTheWebhookIsAway(t *testing.T) {
	ns, other := namespace(t), namespace(t)
	d := guardedTarget(t, ns)
	p := tracked(t, other, "podinfo", false)
	awayFor(t, ns)
	eventually(t, func() error {
		// Before the API server knows that nobody is there, the change is held; it is asked again with another image.
		err := ways["json patch"](t, d, "podinfo:2")
		if err == nil {
			must(t, world.sluice.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"spec":{"paused":null,"template":{"spec":{"containers":[{"name":"app","image":"podinfo:1"}]}}},`+
				`"metadata":{"annotations":{%q:null}}}`, v1beta1.AnnotationHold)))
			return errors.New("the webhook still answers")
		}
		if !strings.Contains(err.Error(), "verify-guarded.sluice.dev") {
			return fmt.Errorf("want a refusal by verify-guarded.sluice.dev: %w", err)
		}
		return nil
	})
	if u := stored(t, d); strings.Contains(mustJSON(t, u.Object["spec"]), "podinfo:2") {
		t.Error("the change is stored all the same")
	}
	must(t, world.admin.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"spec":{"replicas":5},"metadata":{"annotations":{"a":"b"}}}`)))
	must(t, ways["json patch"](t, p, "podinfo:2"))
	// What Sluice itself writes passes: it releases and restores.
	must(t, world.sluice.Patch(t.Context(), d.DeepCopy(), mergePatch(`{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`)))
	must(t, world.admin.Delete(t.Context(), d, client.PropagationPolicy(metav1.DeletePropagationForeground)))
	must(t, world.admin.Delete(t.Context(), p))
}

// awayFor sends the API server's calls to where nobody listens, for the rest of a test that has a Canary in a namespace.
func awayFor(t *testing.T, ns string) {
	t.Helper()
	const nobody = "https://127.0.0.1:1"
	here := "https://" + world.address
	must(t, point(t.Context(), here, nobody))
	t.Cleanup(func() {
		ctx := context.Background()
		must(t, point(ctx, nobody, here))
		// The next test finds the API server asking again.
		wrong := canary(ns, "wrong")
		wrong.Spec.Provider = "knative"
		must(t, testserver.Poll(ctx, patience, func(ctx context.Context) error {
			if err := world.admin.Create(ctx, wrong.DeepCopy(), client.DryRunAll); !apierrors.IsInvalid(err) {
				return fmt.Errorf("a wrong Canary is answered: %w", err)
			}
			return newTargetsAsked(ctx, t, ns)
		}))
	})
}

// point sends the calls of all webhooks from one address to another, as often as somebody else changes their configuration first.
func point(ctx context.Context, from, to string) error {
	move := func(c *admissionregv1.WebhookClientConfig) {
		if c.URL != nil {
			*c.URL = strings.Replace(*c.URL, from, to, 1)
		}
	}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		var m admissionregv1.MutatingWebhookConfiguration
		var v admissionregv1.ValidatingWebhookConfiguration
		for _, o := range []client.Object{&m, &v} {
			if err := world.admin.Get(ctx, types.NamespacedName{Name: "sluice"}, o); err != nil {
				return err
			}
		}
		for i := range m.Webhooks {
			move(&m.Webhooks[i].ClientConfig)
		}
		for i := range v.Webhooks {
			move(&v.Webhooks[i].ClientConfig)
		}
		if err := world.admin.Update(ctx, &m); err != nil {
			return err
		}
		return world.admin.Update(ctx, &v)
	})
}

// The limits of the lifecycle are told when the Canary is applied, with the way out.
func TestLimitsOfEphemeralPrimaries(t *testing.T) {
	ns := namespace(t)
	d := deployment(ns, "podinfo", "podinfo:1")
	readsConfigs(t, ns)(d)
	d.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
	}}}
	must(t, world.admin.Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}))
	must(t, world.admin.Create(t.Context(), d))
	err := world.admin.Create(t.Context(), ephemeralCanaryIn(ns))
	for _, want := range []string{"reads ConfigMap/settings", "reads Secret/settings", "make it immutable"} {
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Fatalf("error %v, want a refusal that says %q", err, want)
		}
	}
	for _, o := range []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}} {
		o.SetNamespace(ns)
		o.SetName("settings")
		must(t, world.admin.Patch(t.Context(), o, mergePatch(`{"immutable":true}`)))
	}
	world.warnings.take()
	must(t, world.admin.Create(t.Context(), ephemeralCanaryIn(ns)))
	if w := strings.Join(world.warnings.take(), "\n"); !strings.Contains(w, "has two workloads mount PersistentVolumeClaim/data") {
		t.Errorf("warnings %q, want one about the volume", w)
	}
}
