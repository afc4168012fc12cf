//go:build integration

package main

import (
	"flag"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/certs"
	"github.com/sluice-dev/sluice/webhook"
)

// flagDefaults are the defaults of the controller's flags, as the binary says them.
func flagDefaults(t *testing.T) map[string]string {
	t.Helper()
	fs := flag.NewFlagSet("controller", flag.ContinueOnError)
	(&controllerOptions{}).bind(fs)
	defaults := map[string]string{}
	fs.VisitAll(func(f *flag.Flag) { defaults[f.Name] = f.DefValue })
	return defaults
}

// TestWebhookConfigurationsReachTheServer follows each webhook from its configuration over the Service to the handler.
func TestWebhookConfigurationsReachTheServer(t *testing.T) {
	objects := rendered(t, "install.yaml")
	type hook struct {
		name     string
		client   admissionv1.WebhookClientConfig
		policy   *admissionv1.FailurePolicyType
		timeout  *int32
		selector []string
		// guarded tells that only objects are looked at which say that they may not change without admission.
		guarded bool
	}
	var hooks []hook
	for _, c := range ofKind[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration") {
		if c.Name != certs.DefaultConfiguration {
			t.Errorf("the mutating configuration is named %q, the CA is written into %q", c.Name, certs.DefaultConfiguration)
		}
		for _, w := range c.Webhooks {
			hooks = append(hooks, hook{w.Name, w.ClientConfig, w.FailurePolicy, w.TimeoutSeconds, w.NamespaceSelector.MatchExpressions[0].Values, guarded(w.ObjectSelector)})
		}
	}
	for _, c := range ofKind[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration") {
		if c.Name != certs.DefaultConfiguration {
			t.Errorf("the validating configuration is named %q, the CA is written into %q", c.Name, certs.DefaultConfiguration)
		}
		for _, w := range c.Webhooks {
			hooks = append(hooks, hook{w.Name, w.ClientConfig, w.FailurePolicy, w.TimeoutSeconds, w.NamespaceSelector.MatchExpressions[0].Values, guarded(w.ObjectSelector)})
		}
	}
	if len(hooks) == 0 {
		t.Fatal("no webhooks were read")
	}
	services := map[string]corev1.Service{}
	for _, s := range ofKind[corev1.Service](t, objects, "Service") {
		services[s.Namespace+"/"+s.Name] = s
	}
	called := map[string]bool{}
	for _, h := range hooks {
		ref := h.client.Service
		if ref == nil || ref.Path == nil || ref.Port == nil {
			t.Errorf("%s does not name a Service with path and port", h.name)
			continue
		}
		s, found := services[ref.Namespace+"/"+ref.Name]
		if !found || ref.Name != certs.DefaultService {
			t.Errorf("%s calls Service %s/%s, the certificate is for %s", h.name, ref.Namespace, ref.Name, certs.DefaultService)
		}
		if !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == *ref.Port && p.TargetPort.StrVal == "webhook" }) {
			t.Errorf("%s calls port %d, which leads to no webhook: %+v", h.name, *ref.Port, s.Spec.Ports)
		}
		called[*ref.Path] = true
		// Only what asks for it waits for the gate to be back.
		want := admissionv1.Ignore
		if h.guarded {
			want = admissionv1.Fail
		}
		if *h.policy != want || *h.timeout > 2 {
			t.Errorf("%s has failure policy %s and timeout %ds: the gate could hurt the cluster", h.name, *h.policy, *h.timeout)
		}
		for _, never := range []string{"kube-system", ownNamespace} {
			if !slices.Contains(h.selector, never) {
				t.Errorf("%s looks into namespace %s: %v", h.name, never, h.selector)
			}
		}
		if len(h.client.CABundle) > 0 {
			t.Errorf("%s ships a CA", h.name)
		}
	}
	for _, path := range []string{
		webhook.PathWorkloads, webhook.PathVerbs, webhook.PathConfigs, webhook.PathVerifyWorkloads, webhook.PathVerifyConfigs,
		webhook.PathCanaries, webhook.PathMetricTemplates, webhook.PathAlertProviders,
	} {
		if !called[path] {
			t.Errorf("nothing calls the handler at %s", path)
		}
		delete(called, path)
	}
	if len(called) > 0 {
		t.Errorf("nothing answers at %v", called)
	}
}

func guarded(s *metav1.LabelSelector) bool {
	return s != nil && s.MatchLabels[v1beta1.LabelGuarded] == "true"
}

// TestManifestsAgreeWithTheFlags holds that ports, names and times in the manifests are those that the binary uses by default.
func TestManifestsAgreeWithTheFlags(t *testing.T) {
	objects := rendered(t, "install.yaml")
	defaults := flagDefaults(t)
	pod := ofKind[appsv1.Deployment](t, objects, "Deployment")[0].Spec.Template.Spec
	for _, port := range pod.Containers[0].Ports {
		name := map[string]string{"metrics": "port", "health": "health-port", "webhook": "webhook-port"}[port.Name]
		if got := strconv.Itoa(int(port.ContainerPort)); name == "" || got != defaults[name] {
			t.Errorf("port %s is %s, the default of -%s is %s", port.Name, got, name, defaults[name])
		}
	}
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if stop := duration(t, defaults["drain"]) + duration(t, defaults["shutdown-timeout"]); grace <= stop {
		t.Errorf("pods are killed %s after SIGTERM, but stopping takes up to %s", grace, stop)
	}
	if pod.Containers[0].Lifecycle != nil {
		t.Error("a lifecycle hook is set; the process drains by itself")
	}
	if args := strings.Join(pod.Containers[0].Args, " "); args != "controller" {
		t.Errorf("the arguments are %q, want the defaults", args)
	}
	var names []string
	for _, r := range ofKind[rbacv1.Role](t, objects, "Role") {
		for _, rule := range r.Rules {
			names = append(names, rule.ResourceNames...)
		}
	}
	for _, want := range []string{leaseName, certs.DefaultCASecret} {
		if !slices.Contains(names, want) {
			t.Errorf("no rights on %s in %v", want, names)
		}
	}
	if ns := ofKind[corev1.Namespace](t, objects, "Namespace")[0].Name; ns != ownNamespace {
		t.Errorf("the namespace is %s, the default of the binary %s", ns, ownNamespace)
	}
}

func duration(t *testing.T, value string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(value)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
