//go:build integration

package ways

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// TestAsking asks what would happen, between rollouts and during one: nothing is written anywhere.
func TestAsking(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*testing.T) *app{"between rollouts": adopted, "during a rollout": half} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := begin(t)
			before := a.versions()
			file := a.version(9)
			for _, args := range [][]string{
				{"apply", "--dry-run=server", "-f", file},
				{"apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", file},
				{"replace", "--dry-run=server", "-f", file},
				{"delete", "--dry-run=server", "-f", file},
				{"set", "image", "--dry-run=server", "deployment/web", "web=web:9"},
				{"rollout", "undo", "--dry-run=server", "deployment/web"},
			} {
				if out, err := a.try(args...); err != nil && args[0] != "rollout" {
					t.Errorf("%v: %v: %s", args, err, out)
				}
			}
			out, err := a.try("diff", "-f", file)
			if err == nil || !strings.Contains(out, "image: web:9") {
				t.Errorf("kubectl diff shows no change: %v: %s", err, out)
			}
			if after := a.versions(); after != before {
				t.Errorf("something was written: %s, before %s", after, before)
			}
		})
	}
}

// versions names everything that admission may write, with its version.
func (a *app) versions() string {
	a.Helper()
	var out []string
	for _, list := range []client.ObjectList{&appsv1.ControllerRevisionList{}, &corev1.ConfigMapList{}} {
		if err := world.admin.List(a.Context(), list, client.InNamespace(a.ns)); err != nil {
			a.Fatal(err)
		}
		switch l := list.(type) {
		case *appsv1.ControllerRevisionList:
			for _, o := range l.Items {
				out = append(out, o.Name+"@"+o.ResourceVersion)
			}
		case *corev1.ConfigMapList:
			for _, o := range l.Items {
				out = append(out, o.Name+"@"+o.ResourceVersion)
			}
		}
	}
	d := a.target()
	// Status is written by others.
	return strings.Join(append(out, d.Labels[v1beta1.LabelTracked], d.Annotations[v1beta1.AnnotationHold], d.Spec.Template.Spec.Containers[0].Image), " ")
}

// settle is how long a change is given for what belongs to it, at least.
const settle = 2 * time.Second

// TestTogether applies several objects at once: one rollout, in whatever order they arrive. It runs while nothing else does: on a machine so busy that
// one kubectl takes longer than a change is given to settle, they may be two, and another application is tried.
func TestTogether(t *testing.T) {
	for name, files := range map[string][2]string{
		"config first": {"a-config.yaml", "b-deployment.yaml"},
		"config last":  {"b-config.yaml", "a-deployment.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			git := &app{T: t, dir: t.TempDir()}
			git.file(files[0], settings("red"))
			git.file(files[1], render(t, deploymentTemplate, map[string]any{"Version": 2}))
			git.canaryFile()
			var a *app
			git.eventually("one kubectl is quick enough", func() bool {
				a = adopted(t)
				world.set(a.ns, true)
				since := time.Now()
				a.kubectl("apply", "-f", git.dir)
				return time.Since(since) < settle
			})
			a.halfway("web:2", 1)
			if got := a.looks()[a.status().Rollout.Revision].reads; got != "red 1" {
				t.Errorf("the canary's pods read %q", got)
			}
		})
	}
}

// TestTogetherWithACanary applies a Canary and, with it, a change of what it is to look after. What served before becomes the primary. It runs while
// nothing else does: a machine that is too busy to record that within the webhook's timeout takes the change for the first version, as documented.
func TestTogetherWithACanary(t *testing.T) {
	a := newApp(t)
	world.set(a.ns, true)
	a.kubectl("apply", "-f", a.file("settings.yaml", settings("blue")), "-f", a.version(1))
	a.canaryFile()
	a.file("settings.yaml", settings("red"))
	a.version(2)
	a.kubectl("apply", "-f", a.dir)
	a.halfway("web:2", 1)
	var sights []seen
	a.eventually("users have seen something", func() bool {
		sights, _, _ = world.of(a.ns)
		return len(sights) > 0
	})
	if sights[0].runs != "web:1" {
		t.Errorf("the first thing that users saw was %v", sights)
	}
}

// shown is the colour that the primary's template leads to.
func (a *app) shown() string {
	a.Helper()
	var d appsv1.Deployment
	if err := world.admin.Get(a.Context(), client.ObjectKey{Namespace: a.ns, Name: "web-primary"}, &d); err != nil {
		a.Fatal(err)
	}
	var c corev1.ConfigMap
	if err := world.admin.Get(a.Context(), client.ObjectKey{Namespace: a.ns, Name: d.Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name}, &c); err != nil {
		a.Fatal(err)
	}
	return c.Data["colour"]
}
