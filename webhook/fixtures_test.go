package webhook

import (
	"context"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// own is the user that the shipped conditions exclude.
const own = "system:serviceaccount:sluice-system:sluice"

// deployment is a small workload that runs an image.
func deployment(namespace, name, image string) *appsv1.Deployment {
	app := map[string]string{"app": name}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2),
			Selector: &metav1.LabelSelector{MatchLabels: app},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: app},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}},
			},
		},
	}
}

// canary rolls the Deployment of the same name out by steps of 10 %.
func canary(namespace, name string) *v1beta1.Canary {
	return &v1beta1.Canary{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.GroupVersion.String(), Kind: v1beta1.CanaryKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1beta1.CanarySpec{
			Provider:  "kubernetes",
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			Service:   v1beta1.CanaryService{Port: 80},
			Analysis:  v1beta1.CanaryAnalysis{Interval: "30s", Threshold: 5, Iterations: 5},
		},
	}
}

// recorder keeps the warnings that a client is given. It is safe for concurrent use.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (r *recorder) HandleWarningHeader(_ int, _, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, text)
}

// take returns the warnings since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// isPaused tells whether a Deployment's rollout is paused.
func isPaused(workload *unstructured.Unstructured) bool {
	paused, _, err := unstructured.NestedBool(workload.Object, "spec", "paused")
	return err == nil && paused
}

// fencer notes the fences that it is asked for. Safe for concurrent use.
type fencer struct {
	mu   sync.Mutex
	then func(context.Context, *v1beta1.Canary, v1beta1.Fence) error
	seen map[string][]v1beta1.Fence
}

// Fence implements Fencer.
func (f *fencer) Fence(ctx context.Context, c *v1beta1.Canary, fence v1beta1.Fence) error {
	f.mu.Lock()
	then := f.then
	if f.seen == nil {
		f.seen = map[string][]v1beta1.Fence{}
	}
	f.seen[c.Namespace+"/"+c.Name] = append(f.seen[c.Namespace+"/"+c.Name], fence)
	f.mu.Unlock()
	if then != nil {
		return then(ctx, c, fence)
	}
	return nil
}

// do sets what happens at each fence; nil means that it succeeds.
func (f *fencer) do(then func(context.Context, *v1beta1.Canary, v1beta1.Fence) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.then = then
}

// of returns the causes of the fences of a Canary, in order.
func (f *fencer) of(namespace, name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var causes []string
	for _, fence := range f.seen[namespace+"/"+name] {
		causes = append(causes, fence.Cause)
	}
	return causes
}
