//go:build integration

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/testserver"
)

// patience bounds how long a state may take to come about, and a process to end, on a busy machine.
const patience = 3 * time.Minute

// server is started once for all tests, apiServer is how its administrator reaches it.
var (
	server    *testserver.Server
	apiServer *rest.Config
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(testserver.Run(testserver.Options{CallEndpoints: true}, func(s *testserver.Server) int {
		server, apiServer = s, s.Config
		return m.Run()
	}))
}

// warnings collects what the API server warns of.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// newClient returns a client and what it is warned of.
func newClient(t *testing.T) (client.Client, *warnings) {
	t.Helper()
	heard := &warnings{}
	cfg := rest.CopyConfig(apiServer)
	cfg.WarningHandler = heard
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c, heard
}

// rendered reads one of the files that make manifests writes.
func rendered(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "dist", name))
	if err != nil {
		t.Fatalf("%v: run make manifests", err)
	}
	defer file.Close()
	return decodeAll(t, file)
}

func decodeAll(t *testing.T, r io.Reader) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(r, 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// ofKind converts the objects of one kind.
func ofKind[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) []T {
	t.Helper()
	var out []T
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		var value T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &value, true); err != nil {
			t.Fatalf("%s %s: %v", kind, object.GetName(), err)
		}
		out = append(out, value)
	}
	return out
}

// install applies the shipped file as kubectl would, in the order of the file.
func install(t *testing.T, c client.Client, name string) []*unstructured.Unstructured {
	t.Helper()
	objects := rendered(t, name)
	apply(t, c, objects)
	// No webhook is served here; its configuration must not outlive the test that looks at it.
	t.Cleanup(func() { removeWebhooks(t, c, objects) })
	return objects
}

func apply(t *testing.T, c client.Client, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		applied := object.DeepCopy()
		// A namespace is usable, and a CRD known, a moment after it was made.
		eventually(t, "applying "+object.GetKind()+" "+object.GetName(), func(ctx context.Context) error {
			return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("test"), client.ForceOwnership)
		})
	}
}

func removeWebhooks(t *testing.T, c client.Client, objects []*unstructured.Unstructured) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, object := range objects {
		if object.GroupVersionKind().Group != "admissionregistration.k8s.io" {
			continue
		}
		if err := c.Delete(ctx, object.DeepCopy()); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
}

// eventually polls until check returns nil.
func eventually(t *testing.T, what string, check func(ctx context.Context) error) {
	t.Helper()
	if err := testserver.Poll(t.Context(), patience, check); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestInstallAppliesWithoutWarnings(t *testing.T) {
	c, heard := newClient(t)
	objects := install(t, c, "install.yaml")
	install(t, c, "install.yaml")
	if len(heard.text) > 0 {
		t.Errorf("the API server warns:\n%s", strings.Join(heard.text, "\n"))
	}
	kinds := map[string]int{}
	for _, object := range objects {
		kinds[object.GetKind()]++
	}
	for kind, want := range map[string]int{
		"Namespace": 1, "CustomResourceDefinition": 3, "Deployment": 1, "PodDisruptionBudget": 1,
		"MutatingWebhookConfiguration": 1, "ValidatingWebhookConfiguration": 1,
	} {
		if kinds[kind] != want {
			t.Errorf("%d objects of kind %s, want %d", kinds[kind], kind, want)
		}
	}
}

// namesMetrics tells whether a rule reads external metrics and nothing else. Their resources are the names of metrics, which nobody can list beforehand.
func namesMetrics(rule rbacv1.PolicyRule) bool {
	return slices.Equal(rule.APIGroups, []string{"external.metrics.k8s.io"}) && slices.Equal(rule.Verbs, []string{"get", "list"})
}

// TestRightsAreListedOneByOne holds least privilege: no wildcard anywhere but for the names of external metrics, and Secrets cluster-wide in no other role than the one that the
// namespaced overlay binds per namespace.
func TestRightsAreListedOneByOne(t *testing.T) {
	objects := rendered(t, "install.yaml")
	type role struct {
		name  string
		rules []rbacv1.PolicyRule
	}
	var roles []role
	for _, r := range ofKind[rbacv1.ClusterRole](t, objects, "ClusterRole") {
		roles = append(roles, role{"ClusterRole " + r.Name, r.Rules})
	}
	for _, r := range ofKind[rbacv1.Role](t, objects, "Role") {
		roles = append(roles, role{"Role " + r.Name, r.Rules})
	}
	if len(roles) < 5 {
		t.Fatalf("%d roles were read, want all", len(roles))
	}
	for _, r := range roles {
		for _, rule := range r.rules {
			if namesMetrics(rule) {
				continue
			}
			for _, value := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs) {
				if strings.Contains(value, "*") {
					t.Errorf("%s has a wildcard: %+v", r.name, rule)
				}
			}
			for _, never := range []string{"escalate", "bind", "impersonate"} {
				if slices.Contains(rule.Verbs, never) {
					t.Errorf("%s may %s: %+v", r.name, never, rule)
				}
			}
			if strings.HasPrefix(r.name, "ClusterRole") && slices.Contains(rule.Resources, "secrets") && r.name != "ClusterRole sluice-workloads" {
				t.Errorf("%s reaches Secrets: %+v", r.name, rule)
			}
			// Which images pods run is read while a revision is promoted, and nothing is ever done to them.
			if slices.Contains(rule.Resources, "pods") && !slices.Equal(rule.Verbs, []string{"list"}) {
				t.Errorf("%s may do more with pods than list them: %+v", r.name, rule)
			}
			for _, never := range []string{"pods/exec", "nodes", "serviceaccounts", "serviceaccounts/token"} {
				if slices.Contains(rule.Resources, never) {
					t.Errorf("%s reaches %s: %+v", r.name, never, rule)
				}
			}
		}
	}
}

// TestNamespacedOverlayReachesOneNamespace holds that the overlay leaves no cluster-wide right on workloads and configs, and that the controller
// and the webhooks look at the same namespace as the rights.
func TestNamespacedOverlayReachesOneNamespace(t *testing.T) {
	objects := built(t, "manifests/overlays/namespaced")
	for _, b := range ofKind[rbacv1.ClusterRoleBinding](t, objects, "ClusterRoleBinding") {
		if b.RoleRef.Name == "sluice-workloads" {
			t.Errorf("ClusterRoleBinding %s still grants it everywhere", b.Name)
		}
	}
	var namespace string
	for _, b := range ofKind[rbacv1.RoleBinding](t, objects, "RoleBinding") {
		if b.RoleRef.Name == "sluice-workloads" {
			namespace = b.Namespace
		}
	}
	d := ofKind[appsv1.Deployment](t, objects, "Deployment")[0]
	if args := d.Spec.Template.Spec.Containers[0].Args; namespace == "" || !slices.Contains(args, "-namespace="+namespace) {
		t.Errorf("rights are bound in namespace %q, and the arguments are %v", namespace, args)
	}
	selectors := map[string]*metav1.LabelSelector{}
	for _, w := range ofKind[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration")[0].Webhooks {
		selectors[w.Name] = w.NamespaceSelector
	}
	for _, w := range ofKind[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration")[0].Webhooks {
		selectors[w.Name] = w.NamespaceSelector
	}
	for name, selector := range selectors {
		want := namespace
		if strings.HasPrefix(name, "new-") {
			// These follow the Canaries, and there are none yet.
			want = "no_namespace"
		}
		last := selector.MatchExpressions[len(selector.MatchExpressions)-1]
		if last.Operator != metav1.LabelSelectorOpIn || !slices.Equal(last.Values, []string{want}) {
			t.Errorf("webhook %s looks at %v, want namespace %s", name, selector, want)
		}
	}
}

// admitsPod asks by dry run until the API server lets the pod in. It judges by a cache of namespaces, which may be behind what a test has just written.
func admitsPod(t *testing.T, c client.Client, which string, pod *corev1.Pod) {
	t.Helper()
	eventually(t, "the pod "+which+" is let in", func(ctx context.Context) error {
		return c.Create(ctx, pod.DeepCopy(), client.DryRunAll)
	})
}

// refusesPod asks by dry run until the API server refuses the pod, as [admitsPod] does.
func refusesPod(t *testing.T, c client.Client, which string, pod *corev1.Pod) {
	t.Helper()
	eventually(t, "the pod "+which+" is refused", func(ctx context.Context) error {
		if err := c.Create(ctx, pod.DeepCopy(), client.DryRunAll); !apierrors.IsForbidden(err) {
			return fmt.Errorf("answered: %w", err)
		}
		return nil
	})
}

// TestPodsAreRestricted creates the shipped pods where the restricted pod security standard is enforced, and one that has to be refused there.
func TestPodsAreRestricted(t *testing.T) {
	c, heard := newClient(t)
	install(t, c, "install.yaml")
	enforced := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "enforced", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if err := c.Create(t.Context(), enforced); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	deployments := ofKind[appsv1.Deployment](t, append(rendered(t, "install.yaml"), rendered(t, "loadtester.yaml")...), "Deployment")
	if len(deployments) != 2 {
		t.Fatalf("%d Deployments, want the controller and the load tester", len(deployments))
	}
	for _, d := range deployments {
		pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
		pod.Namespace, pod.GenerateName = d.Namespace, "dry-run-"
		if d.Namespace != ownNamespace {
			pod.Namespace = enforced.Name
		}
		admitsPod(t, c, "as "+d.Name+" ships it", pod)
		pod.Spec.SecurityContext = nil
		refusesPod(t, c, "without a security context in namespace "+pod.Namespace, pod)
	}
	if len(heard.text) > 0 {
		t.Errorf("the API server warns:\n%s", strings.Join(heard.text, "\n"))
	}
}

// TestSelectorsFindTheirPods follows Services, PodDisruptionBudget and probes to the pods and ports that they mean.
func TestSelectorsFindTheirPods(t *testing.T) {
	for _, file := range []string{"install.yaml", hostNetworkFile, "loadtester.yaml"} {
		objects := rendered(t, file)
		d := ofKind[appsv1.Deployment](t, objects, "Deployment")[0]
		ports := map[string]int32{}
		for _, port := range d.Spec.Template.Spec.Containers[0].Ports {
			ports[port.Name] = port.ContainerPort
		}
		services := ofKind[corev1.Service](t, objects, "Service")
		if len(services) == 0 {
			t.Errorf("%s has no Service", file)
		}
		for _, s := range services {
			if !selects(s.Spec.Selector, d.Spec.Template.Labels) || s.Namespace != d.Namespace {
				t.Errorf("Service %s selects %v in %s, the pods have %v in %s", s.Name, s.Spec.Selector, s.Namespace, d.Spec.Template.Labels, d.Namespace)
			}
			for _, port := range s.Spec.Ports {
				if ports[port.TargetPort.StrVal] == 0 {
					t.Errorf("Service %s leads to port %q, which the pods do not have", s.Name, port.TargetPort.StrVal)
				}
			}
		}
		for _, probe := range []*corev1.Probe{d.Spec.Template.Spec.Containers[0].LivenessProbe, d.Spec.Template.Spec.Containers[0].ReadinessProbe} {
			if probe == nil || ports[probe.HTTPGet.Port.StrVal] == 0 {
				t.Errorf("%s: a probe is missing, or asks a port that the pods do not have: %+v", file, probe)
			}
		}
	}
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

// TestTheExampleIsValid applies the README's example as a user with strict field validation would.
func TestTheExampleIsValid(t *testing.T) {
	c, heard := newClient(t)
	for _, object := range rendered(t, "install.yaml") {
		if object.GetKind() == "CustomResourceDefinition" {
			eventually(t, "applying "+object.GetName(), func(ctx context.Context) error {
				return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()), client.FieldOwner("test"), client.ForceOwnership)
			})
		}
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "test"}}
	if err := c.Create(t.Context(), ns); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("README.md has no example in YAML")
	}
	objects := decodeAll(t, strings.NewReader(example))
	if len(objects) != 2 {
		t.Fatalf("the example has %d objects, want a Deployment and a Canary", len(objects))
	}
	strict := client.WithFieldValidation(c, metav1.FieldValidationStrict)
	for _, object := range objects {
		eventually(t, object.GetKind(), func(ctx context.Context) error {
			return strict.Create(ctx, object.DeepCopy(), client.DryRunAll)
		})
	}
	if len(heard.text) > 0 {
		t.Errorf("the API server warns:\n%s", strings.Join(heard.text, "\n"))
	}
}
