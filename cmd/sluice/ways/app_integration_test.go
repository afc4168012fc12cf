//go:build integration

package ways

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

//go:embed testdata/deployment.yaml
var deploymentTemplate string

//go:embed testdata/canary.yaml
var canaryTemplate string

// app is an application with its Canary in a namespace of its own, looked after with kubectl.
type app struct {
	*testing.T
	ns string
	// dir holds manifests: what Git or a person would have.
	dir string
	// editor is what kubectl edit calls.
	editor string
	// ephemeral has the target serve between rollouts. Its configs cannot be changed then.
	ephemeral bool
}

// newApp makes a namespace for an application.
func newApp(t *testing.T) *app {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "ways-"}}
	if err := world.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	a := &app{T: t, ns: ns.Name, dir: t.TempDir(), editor: "true"}
	t.Cleanup(func() {
		if t.Failed() {
			a.report()
		}
	})
	return a
}

// adopted is an application of version 1 whose Canary has made its first primary.
func adopted(t *testing.T) *app {
	t.Helper()
	a := newApp(t)
	a.kubectl("apply", "-f", a.file("settings.yaml", settings("blue")), "-f", a.version(1), "-f", a.canaryFile())
	a.until("the Canary is initialised", func(st *v1beta1.CanaryStatus) bool { return st.Phase == v1beta1.PhaseInitialized && isReady(st) })
	return a
}

// adoptedWith is an application of version 1, after a version 9 in kubectl's history, with a primary of the lifecycle.
func adoptedWith(t *testing.T, ephemeral bool) *app {
	t.Helper()
	a := unadopted(t, ephemeral)
	a.adopt()
	return a
}

// unadopted is the same without a Canary.
func unadopted(t *testing.T, ephemeral bool) *app {
	t.Helper()
	a := newApp(t)
	a.ephemeral = ephemeral
	configs := settings("blue")
	if ephemeral {
		configs = config("ConfigMap", "settings", "immutable: true\ndata: {colour: blue}") + config("Secret", "token", "immutable: true\nstringData: {token: \"1\"}")
	}
	a.kubectl("apply", "-f", a.file("settings.yaml", configs), "-f", a.deployment(9, ""))
	a.kubectl("rollout", "status", "deployment/web", "--timeout=2m")
	a.kubectl("apply", "-f", a.deployment(1, ""))
	a.kubectl("rollout", "status", "deployment/web", "--timeout=2m")
	return a
}

// adopt has the Canary made and initialised.
func (a *app) adopt() {
	a.Helper()
	a.kubectl("apply", "-f", a.canaryFile())
	a.until("the Canary is initialised", func(st *v1beta1.CanaryStatus) bool {
		return st.Phase == v1beta1.PhaseInitialized && isReady(st) && st.TargetServes == a.ephemeral
	})
}

// half is an adopted application that rolls out version 2 and has half of the users on it, for as long as its gate is closed.
func half(t *testing.T) *app {
	t.Helper()
	a := adopted(t)
	world.set(a.ns, true)
	a.kubectl("apply", "-f", a.version(2))
	a.halfway("web:2", 1)
	return a
}

func isReady(st *v1beta1.CanaryStatus) bool {
	c := st.Condition(v1beta1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionTrue
}

// file writes a manifest.
func (a *app) file(name, content string) string {
	a.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		a.Fatal(err)
	}
	return path
}

func render(t *testing.T, text string, values any) string {
	t.Helper()
	var out strings.Builder
	if err := template.Must(template.New("manifest").Parse(text)).Execute(&out, values); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// version writes the manifest of a version of the Deployment, which names two replicas.
func (a *app) version(n int) string { return a.deployment(n, "2") }

// deployment writes the manifest of a version; with no replicas it leaves them to others.
func (a *app) deployment(n int, replicas string) string {
	a.Helper()
	return a.file("deployment.yaml", render(a.T, deploymentTemplate, map[string]any{"Version": n, "Replicas": replicas}))
}

func (a *app) canaryFile() string {
	a.Helper()
	return a.file("canary.yaml", render(a.T, canaryTemplate, map[string]any{"Gate": world.server.URL, "Ephemeral": a.ephemeral}))
}

// settings are the manifests of the ConfigMap, with a colour, and of the Secret.
func settings(colour string) string {
	return config("ConfigMap", "settings", "data: {colour: "+colour+"}") + config("Secret", "token", "stringData: {token: \"1\"}")
}

func config(kind, name, content string) string {
	return "---\napiVersion: v1\nkind: " + kind + "\nmetadata: {name: " + name + "}\n" + content + "\n"
}

// kubectl runs the real command line tool in the namespace and returns all that a person would read. A failure ends the test.
func (a *app) kubectl(args ...string) string {
	a.Helper()
	out, err := a.try(args...)
	if err != nil {
		a.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// try is kubectl that may fail. A person whose replace met a controller's write to the status does it once more.
func (a *app) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(a.Context(), patience)
	defer cancel()
	for {
		out, err := a.once(ctx, args...)
		if err == nil || ctx.Err() != nil || !strings.Contains(out, "the object has been modified") {
			return out, err
		}
	}
}

func (a *app) once(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append(args, "--kubeconfig", world.kubeconfig, "--namespace", a.ns)...)
	cmd.Env = append(os.Environ(), "KUBE_EDITOR="+a.editor)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// status reads the Canary's status.
func (a *app) status() *v1beta1.CanaryStatus {
	a.Helper()
	return &a.canary().Status
}

func (a *app) canary() *v1beta1.Canary {
	a.Helper()
	var c v1beta1.Canary
	if err := world.admin.Get(a.Context(), client.ObjectKey{Namespace: a.ns, Name: "web"}, &c); err != nil {
		a.Fatal(err)
	}
	return &c
}

// until polls the Canary's status.
func (a *app) until(what string, holds func(*v1beta1.CanaryStatus) bool) {
	a.Helper()
	a.eventually(what, func() bool { return holds(a.status()) })
}

func (a *app) eventually(what string, holds func() bool) {
	a.Helper()
	err := testserver.Poll(a.Context(), patience, func(context.Context) error {
		if holds() {
			return nil
		}
		return errors.New("not so")
	})
	if err != nil {
		a.Fatalf("it does not come about that %s", what)
	}
}

// object reads the target as it is stored.
func (a *app) target() *appsv1.Deployment {
	a.Helper()
	var d appsv1.Deployment
	if err := world.admin.Get(a.Context(), client.ObjectKey{Namespace: a.ns, Name: "web"}, &d); err != nil {
		a.Fatal(err)
	}
	return &d
}

// looks maps the revisions that are stored to what they show.
func (a *app) looks() map[string]look {
	a.Helper()
	var list appsv1.ControllerRevisionList
	if err := world.admin.List(a.Context(), &list, client.InNamespace(a.ns), client.MatchingLabels{v1beta1.LabelSnapshot: "true"}); err != nil {
		a.Fatal(err)
	}
	out := map[string]look{}
	for i := range list.Items {
		stored, err := revision.Decode(&list.Items[i])
		if err != nil {
			a.Fatal(err)
		}
		var pod corev1.PodTemplateSpec
		if err := json.Unmarshal(stored.Template, &pod); err != nil {
			a.Fatal(err)
		}
		// In the order of the template, what the copies hold.
		copies := map[string]string{}
		for _, c := range stored.Configs {
			copies[c.Key()] = c.Copy
		}
		var from []corev1.EnvFromSource
		for _, source := range pod.Spec.Containers[0].EnvFrom {
			if ref := source.ConfigMapRef; ref != nil {
				ref.Name = copies["configmap/"+ref.Name]
			} else {
				source.SecretRef.Name = copies["secret/"+source.SecretRef.Name]
			}
			from = append(from, source)
		}
		out[stored.Digest] = look{lookOf(pod.Annotations, &pod.Spec), reads(a.Context(), a.ns, from)}
	}
	return out
}

// promoted opens the gate and waits until a revision that runs this is promoted and nothing is left to do; rollouts is how many there have
// been in all by then.
func (a *app) promoted(runs string, rollouts int) {
	a.Helper()
	world.set(a.ns, false)
	a.eventually(runs+" is promoted", func() bool {
		st := a.status()
		return st.Rollout == nil && isReady(st) && st.CurrentRevision == st.PromotedRevision && a.looks()[st.PromotedRevision].runs == runs
	})
	a.unanalysed(rollouts)
}

// halfway waits behind a closed gate until a rollout of what runs this has half of the users; rollouts is as in promoted.
func (a *app) halfway(runs string, rollouts int) {
	a.Helper()
	a.eventually("half of the users have "+runs, func() bool {
		st := a.status()
		return st.Rollout != nil && st.CanaryWeight == 50 && a.looks()[st.Rollout.Revision].runs == runs
	})
	a.unanalysed(rollouts)
}

// uncounted is for situations that may lead to one rollout more or less.
const uncounted = -1

// unanalysed fails the test if users could ever see what was not under analysis, or what was not promoted, or if there were more or fewer
// rollouts.
func (a *app) unanalysed(rollouts int) {
	a.Helper()
	// The audience hears of the Canary a moment after it is stored.
	a.eventually("what was begun is noted", func() bool { return world.upTo(a.canary()) })
	looks := a.looks()
	sights, begun, promoted := world.of(a.ns)
	var good []look
	for _, digest := range promoted {
		good = append(good, looks[digest])
	}
	for _, s := range sights {
		if s.primary && !slices.Contains(good, s.look) {
			a.Errorf("the primary showed %v to users, which was never promoted: %v", s.look, good)
		}
		if !s.primary && looks[s.revision] != s.look {
			a.Errorf("users could see %v on the canary while revision %q (%v) was analysed", s.look, s.revision, looks[s.revision])
		}
	}
	if len(begun) != rollouts && rollouts != uncounted {
		a.Errorf("%d rollouts were begun, want %d: %v", len(begun), rollouts, begun)
	}
}

// report says how the application is.
func (a *app) report() {
	// The test's own context has ended.
	for _, args := range [][]string{
		{"get", "canary", "web", "-o", "yaml"}, {"get", "deployments,replicasets,pods", "--show-labels"}, {"get", "events"},
	} {
		cmd := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append(args, "--kubeconfig", world.kubeconfig, "--namespace", a.ns)...)
		out, err := cmd.CombinedOutput()
		a.Logf("%s (%v)\n%s", strings.Join(args, " "), err, out)
	}
	sights, rollouts, promoted := world.of(a.ns)
	a.Logf("seen %v, begun %v, promoted %v", sights, rollouts, promoted)
}

// calls is how often admission was asked since Sluice started, about anything.
func calls(t *testing.T) int {
	t.Helper()
	text, err := testserver.Fetch(t.Context(), world.metrics)
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "sluice_admission_requests_total{") {
			var n float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	return int(total)
}
