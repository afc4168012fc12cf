package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// Kinds that change.
const (
	deployments = "Deployment"
	configMaps  = "ConfigMap"
	secrets     = "Secret"
)

// namespace holds all applications.
const namespace = "bench"

// versions are the two states between which an object goes back and forth.
var versions = [2]string{"a", "b"}

// app is one application: a Deployment that reads a ConfigMap and a Secret, and
// a Canary whose controller is played here. Where nobody tracks it, it has one
// nevertheless: status writes follow all changes alike.
type app struct {
	name    string
	tracked bool
	// guarded has an ephemeral primary, with users on the Deployment.
	guarded bool
	// kind is the one that changes.
	kind string
	// digests are those of the revision with either version; names of none
	// unless tracked.
	digests [2]string
	// at is the version that is stored, settled counts the status writes.
	at, settled int
}

// newApp creates an application. Its objects carry the labels of a tracked one,
// those of the no-op webhook, or none.
func newApp(ctx context.Context, c client.Client, name, kind string, marks marks) (*app, error) {
	a := &app{name: name, kind: kind, tracked: marks == markSluice || marks == markGuarded, guarded: marks == markGuarded, digests: [2]string{"none-a", "none-b"}}
	target, config := marks.labels(name)
	objects := []client.Object{
		// What an ephemeral primary's target reads cannot be changed under it.
		&corev1.ConfigMap{ObjectMeta: a.meta(config), Data: settings(versions[0]), Immutable: &a.guarded},
		&corev1.Secret{ObjectMeta: a.meta(config), StringData: settings(versions[0]), Immutable: &a.guarded},
		a.deployment(target),
		a.canary(),
	}
	for _, o := range objects {
		if err := c.Create(ctx, o); err != nil {
			return nil, fmt.Errorf("create %T %s: %w", o, name, err)
		}
	}
	if !a.tracked {
		return a, a.settle(ctx, c)
	}
	return a, a.remember(ctx, c)
}

// marks tell whose webhook an application's objects are shown to.
type marks int

const (
	markNone marks = iota
	markNoop
	markSluice
	markGuarded
)

func (m marks) labels(name string) (target, config map[string]string) {
	switch m {
	case markNoop:
		tracked := v1beta1.LabelTracked + "."
		return map[string]string{noopLabel: labelText(tracked + v1beta1.TrackedTarget)},
			map[string]string{noopLabel: labelText(tracked + v1beta1.TrackedConfig)}
	case markSluice:
		return map[string]string{v1beta1.LabelTracked: v1beta1.TrackedTarget, v1beta1.LabelCanary: name},
			map[string]string{v1beta1.LabelTracked: v1beta1.TrackedConfig}
	case markGuarded:
		target, config = markSluice.labels(name)
		target[v1beta1.LabelGuarded] = "true"
		return target, config
	default:
		return nil, nil
	}
}

func (a *app) meta(labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: a.name, Labels: maps.Clone(labels)}
}

// settings are about 2 KiB, like those of a common application.
func settings(version string) map[string]string {
	return map[string]string{"version": version, "settings.yaml": strings.Repeat("key: value\n", 180)}
}

func (a *app) deployment(labels map[string]string) *appsv1.Deployment {
	selector := map[string]string{"app": a.name}
	reference := corev1.LocalObjectReference{Name: a.name}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}, PeriodSeconds: 5}
	probe.TCPSocket.Port.IntVal = 8080
	return &appsv1.Deployment{
		ObjectMeta: a.meta(labels),
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32),
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: selector, Annotations: map[string]string{"bench/version": versions[0]}},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "main", Image: "registry.test/shop/web:1.0.0", Args: []string{"serve", "--port=8080", "--log-level=info"},
					Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					LivenessProbe: probe, ReadinessProbe: probe,
					EnvFrom: []corev1.EnvFromSource{
						{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: reference}},
						{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: reference}},
					},
				}}},
			},
		},
	}
}

func (a *app) canary() *v1beta1.Canary {
	c := &v1beta1.Canary{
		ObjectMeta: a.meta(nil),
		Spec: v1beta1.CanarySpec{
			Provider:  "kubernetes",
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: deployments, Name: a.name},
			Service:   v1beta1.CanaryService{Port: 80},
			Analysis:  v1beta1.CanaryAnalysis{Interval: "1m", Threshold: 5, Iterations: 5},
		},
	}
	if a.guarded {
		c.Spec.Primary = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral}
	}
	return c
}

// remember stores the revision of each version, and has the Canary's status
// say what the reconciler would.
func (a *app) remember(ctx context.Context, c client.Client) error {
	stored := &appsv1.Deployment{}
	if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: a.name}, stored); err != nil {
		return err
	}
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(stored)
	if err != nil {
		return err
	}
	target := &unstructured.Unstructured{Object: raw}
	target.SetAPIVersion("apps/v1")
	target.SetKind(deployments)
	for i, version := range versions {
		if a.kind == deployments {
			if err := unstructured.SetNestedField(target.Object, version, "spec", "template", "metadata", "annotations", "bench/version"); err != nil {
				return err
			}
		}
		snapshot, _, err := revision.Take(target, func(r revision.ConfigRef) (*revision.Content, error) { return a.content(r, version) })
		if err != nil {
			return err
		}
		if a.digests[i], err = snapshot.Digest(); err != nil {
			return err
		}
		object, err := revision.Encode(namespace, snapshot, revision.Taken{At: time.Now()})
		if err != nil {
			return err
		}
		if err := c.Create(ctx, object); err != nil {
			return fmt.Errorf("store the revision of %s: %w", a.name, err)
		}
	}
	return a.settle(ctx, c)
}

// content is what a config holds while the changing object has a version.
func (a *app) content(r revision.ConfigRef, version string) (*revision.Content, error) {
	if string(r.Kind) != a.kind {
		version = versions[0]
	}
	if r.Kind == revision.ConfigMap {
		c, err := revision.ConfigMapContent(&corev1.ConfigMap{ObjectMeta: a.meta(nil), Data: settings(version)})
		return &c, err
	}
	data := map[string][]byte{}
	for k, v := range settings(version) {
		data[k] = []byte(v)
	}
	c, err := revision.SecretContent(&corev1.Secret{ObjectMeta: a.meta(nil), Type: corev1.SecretTypeOpaque, Data: data})
	return &c, err
}

// settle has the status name the present revision, as the reconciler does when
// it has noticed a change. Each time the status differs from the one before.
func (a *app) settle(ctx context.Context, c client.Client) error {
	a.settled++
	status, err := json.Marshal(map[string]any{"status": map[string]any{
		"phase": v1beta1.PhaseSucceeded, "canaryWeight": 0, "failedChecks": 0, "iterations": a.settled % 2, "currentRevision": a.digests[a.at],
		"trackedConfigs": map[string]string{"configmap/" + a.name: "1", "secret/" + a.name: "1"}, "targetServes": a.guarded,
	}})
	if err != nil {
		return err
	}
	canary := &v1beta1.Canary{ObjectMeta: a.meta(nil)}
	if err := c.Status().Patch(ctx, canary, client.RawPatch(types.MergePatchType, status)); err != nil {
		return fmt.Errorf("status of canary %s: %w", a.name, err)
	}
	return nil
}

// change is the request that is measured.
type change struct {
	object client.Object
	patch  []byte
}

// next returns the change to the other version.
func (a *app) next() change {
	version := versions[1-a.at]
	switch a.kind {
	case configMaps:
		return change{&corev1.ConfigMap{}, fmt.Appendf(nil, `{"data":{"version":%q}}`, version)}
	case secrets:
		return change{&corev1.Secret{}, fmt.Appendf(nil, `{"stringData":{"version":%q}}`, version)}
	default:
		return change{&appsv1.Deployment{}, fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"bench/version":%q}}}}}`, version)}
	}
}

// aside returns a change that concerns no revision: of a label, an annotation
// or the replicas.
func (a *app) aside(n int) change {
	patches := []string{`{"metadata":{"labels":{"team":"%d"}}}`, `{"metadata":{"annotations":{"note":"%d"}}}`, `{"spec":{"replicas":%d}}`}
	return change{&appsv1.Deployment{}, fmt.Appendf(nil, patches[n%len(patches)], n%100)}
}

// send sends a change to an API server.
func (a *app) send(ctx context.Context, c client.Client, what change) error {
	what.object.SetNamespace(namespace)
	what.object.SetName(a.name)
	if err := c.Patch(ctx, what.object, client.RawPatch(types.MergePatchType, what.patch)); err != nil {
		return fmt.Errorf("change %T %s: %w", what.object, a.name, err)
	}
	return nil
}
