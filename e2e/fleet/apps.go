package fleet

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	namespace = "fleet"
	// replicas of each application.
	replicas = 2
	// writers is how many objects are written at once.
	writers = 8
	// analysisInterval and iterations of each Canary.
	analysisInterval = "10s"
	iterations       = 3
	// versionAnnotation on a pod template tells versions apart.
	versionAnnotation = "example.com/version"
)

// names of the applications, and of their Canaries.
func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("app-%03d", i)
	}
	return out
}

// each calls a function for every name, a few at a time, and returns the first
// error.
func each(all []string, do func(name string) error) error {
	work := make(chan string)
	errs := make(chan error, len(all))
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for name := range work {
				errs <- do(name)
			}
		})
	}
	for _, name := range all {
		work <- name
	}
	close(work)
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// newApp is a Deployment whose pods are played.
func newApp(name string) *appsv1.Deployment {
	n, labels := int32(replicas), map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{playedAnnotation: played},
					Tolerations:  []corev1.Toleration{{Key: playedAnnotation, Operator: corev1.TolerationOpExists}},
					Containers: []corev1.Container{{
						Name: "app", Image: "example.com/played:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					}},
				},
			},
		},
	}
}

// newCanary rolls its application out by iterations, without metrics or hooks.
func newCanary(name string, lifecycle v1beta1.Lifecycle) *v1beta1.Canary {
	return &v1beta1.Canary{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1beta1.CanarySpec{
			Provider:  "kubernetes",
			Primary:   &v1beta1.PrimarySpec{Lifecycle: lifecycle},
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			Service:   v1beta1.CanaryService{Port: 80, TargetPort: intstr.FromString("http")},
			Analysis:  v1beta1.CanaryAnalysis{Interval: analysisInterval, Threshold: 1, Iterations: iterations},
		},
	}
}

// change gives an application a new version, as a user does.
func (b *bench) change(ctx context.Context, name, version string) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{%q:%q}}}}}`, versionAnnotation, version)
	app := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return b.client.Patch(ctx, app, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// namespaceOf is where the objects of a list are looked for.
func namespaceOf(list client.ObjectList) string {
	if _, nodes := list.(*corev1.NodeList); nodes {
		return ""
	}
	return namespace
}

// rolledOut tells whether all pods of a Deployment are of its template and ready.
func rolledOut(o client.Object) (done bool, how string) {
	d := o.(*appsv1.Deployment)
	s := d.Status
	want := *d.Spec.Replicas
	return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.AvailableReplicas == want && s.Replicas == want,
		fmt.Sprintf("%d of %d pods are new, %d available, %d in all", s.UpdatedReplicas, want, s.AvailableReplicas, s.Replicas)
}

// initialised tells whether a Canary's primary serves.
func initialised(o client.Object) (done bool, how string) {
	c := o.(*v1beta1.Canary)
	return c.Status.Phase == v1beta1.PhaseInitialized, describe(c)
}

// promoted tells whether a Canary has ended a rollout since it had promoted the
// revisions before, well or not.
func promoted(before map[string]string) state {
	return func(o client.Object) (done bool, how string) {
		c := o.(*v1beta1.Canary)
		ended := c.Status.Phase == v1beta1.PhaseSucceeded && c.Status.PromotedRevision != before[c.Name] && c.Status.Rollout == nil
		return ended || c.Status.Phase == v1beta1.PhaseFailed, describe(c)
	}
}

func describe(c *v1beta1.Canary) string {
	how := "phase " + string(c.Status.Phase)
	if ro := c.Status.Rollout; ro != nil {
		how += fmt.Sprintf(", %s: %s", ro.Stage, ro.Reason)
	}
	return how
}
