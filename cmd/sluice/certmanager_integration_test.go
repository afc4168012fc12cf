//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/certs"
)

const certManagerFile = "install-cert-manager.yaml"

// find returns the object of the name, which has to be in Sluice's namespace.
func find[T any, P interface {
	*T
	client.Object
}](t *testing.T, objects []*unstructured.Unstructured, kind, name string) P {
	t.Helper()
	for _, value := range ofKind[T](t, objects, kind) {
		if p := P(&value); p.GetName() == name && p.GetNamespace() == ownNamespace {
			return p
		}
	}
	t.Fatalf("there is no %s %s/%s", kind, ownNamespace, name)
	return nil
}

// webhookClients returns how API servers call the webhooks, and which Certificate each configuration asks cert-manager to inject from.
func webhookClients(t *testing.T, objects []*unstructured.Unstructured) (clients []admissionv1.WebhookClientConfig, injected []string) {
	t.Helper()
	for _, c := range ofKind[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration") {
		injected = append(injected, c.Annotations[cmapi.WantInjectAnnotation])
		for _, w := range c.Webhooks {
			clients = append(clients, w.ClientConfig)
		}
	}
	for _, c := range ofKind[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration") {
		injected = append(injected, c.Annotations[cmapi.WantInjectAnnotation])
		for _, w := range c.Webhooks {
			clients = append(clients, w.ClientConfig)
		}
	}
	return clients, injected
}

// servingCertificate is the Certificate that is injected from.
func servingCertificate(t *testing.T, objects []*unstructured.Unstructured) *cmapi.Certificate {
	t.Helper()
	_, injected := webhookClients(t, objects)
	if len(injected) != 2 || injected[0] != injected[1] {
		t.Fatalf("the configurations are injected from %q, want both from one Certificate", injected)
	}
	namespace, name, _ := strings.Cut(injected[0], "/")
	if namespace != ownNamespace {
		t.Fatalf("the configurations are injected from %q, want a Certificate in %s", injected[0], ownNamespace)
	}
	return find[cmapi.Certificate](t, objects, cmapi.CertificateKind, name)
}

// TestCertManagerIssuesWhatAPIServersAskFor follows the names from the webhooks to the certificate that they are served with.
func TestCertManagerIssuesWhatAPIServersAskFor(t *testing.T) {
	objects := rendered(t, certManagerFile)
	serving := servingCertificate(t, objects)
	clients, _ := webhookClients(t, objects)
	if len(clients) < 3 {
		t.Fatalf("%d webhooks were read, want all", len(clients))
	}
	for _, c := range clients {
		find[corev1.Service](t, objects, "Service", c.Service.Name)
		if name := c.Service.Name + "." + c.Service.Namespace + ".svc"; !slices.Contains(serving.Spec.DNSNames, name) {
			t.Errorf("API servers ask for %s, the certificate is for %v", name, serving.Spec.DNSNames)
		}
		if len(c.CABundle) > 0 {
			t.Errorf("the webhook of path %s is shipped with a bundle", *c.Service.Path)
		}
	}
	if !slices.Contains(serving.Spec.Usages, cmapi.UsageServerAuth) || serving.Spec.IsCA {
		t.Errorf("usages %v, CA %t; want a certificate of a server", serving.Spec.Usages, serving.Spec.IsCA)
	}
}

// signingCA is the Certificate of the CA that signs the serving one.
func signingCA(t *testing.T, objects []*unstructured.Unstructured, serving *cmapi.Certificate) *cmapi.Certificate {
	t.Helper()
	issuer := find[cmapi.Issuer](t, objects, serving.Spec.IssuerRef.Kind, serving.Spec.IssuerRef.Name)
	if issuer.Spec.CA == nil {
		t.Fatalf("Issuer %s does not sign with a CA", issuer.Name)
	}
	for _, c := range ofKind[cmapi.Certificate](t, objects, cmapi.CertificateKind) {
		if c.Spec.SecretName == issuer.Spec.CA.SecretName && c.Namespace == issuer.Namespace {
			return &c
		}
	}
	t.Fatalf("Issuer %s signs with Secret %s, which no Certificate fills", issuer.Name, issuer.Spec.CA.SecretName)
	return nil
}

// TestCertManagersCAStandsAlone holds that the CA is made here, and apart from the built-in one.
func TestCertManagersCAStandsAlone(t *testing.T) {
	objects := rendered(t, certManagerFile)
	serving := servingCertificate(t, objects)
	ca := signingCA(t, objects, serving)
	if !ca.Spec.IsCA || ca.Spec.CommonName == "" {
		t.Errorf("Certificate %s is a CA: %t, with name %q; want a CA with a name", ca.Name, ca.Spec.IsCA, ca.Spec.CommonName)
	}
	if root := find[cmapi.Issuer](t, objects, ca.Spec.IssuerRef.Kind, ca.Spec.IssuerRef.Name); root.Spec.SelfSigned == nil {
		t.Errorf("Issuer %s of the CA is not self-signed", root.Name)
	}
	for _, c := range []*cmapi.Certificate{serving, ca} {
		if c.Spec.SecretName == certs.DefaultCASecret {
			t.Errorf("Certificate %s writes into the Secret of the built-in authority", c.Name)
		}
	}
}

// TestCertManagerRotatesWithoutAGap holds the durations and key policies that rotation depends on: see the comments in the component.
func TestCertManagerRotatesWithoutAGap(t *testing.T) {
	objects := rendered(t, certManagerFile)
	serving := servingCertificate(t, objects)
	ca := signingCA(t, objects, serving)
	if policy := serving.Spec.PrivateKey.RotationPolicy; policy != cmapi.RotationPolicyAlways {
		t.Errorf("the serving certificate's key is rotated %q, want Always", policy)
	}
	if policy := ca.Spec.PrivateKey.RotationPolicy; policy != cmapi.RotationPolicyNever {
		t.Errorf("the CA's key is rotated %q, want Never: API servers have the new bundle before the pods have the new certificate", policy)
	}
	if serving.Spec.Duration.Duration >= ca.Spec.RenewBefore.Duration {
		t.Errorf("a serving certificate lives %s, and its CA may end after %s", serving.Spec.Duration.Duration, ca.Spec.RenewBefore.Duration)
	}
	if reserve := serving.Spec.RenewBefore.Duration; reserve < 7*24*time.Hour || reserve >= serving.Spec.Duration.Duration {
		t.Errorf("the serving certificate is renewed %s ahead, want a week at least and less than its life", reserve)
	}
}

// TestCertManagerSecretIsMounted follows the Secret into the pods, where no argument of the built-in authority is left.
func TestCertManagerSecretIsMounted(t *testing.T) {
	objects := rendered(t, certManagerFile)
	serving := servingCertificate(t, objects)
	pod := find[appsv1.Deployment](t, objects, "Deployment", "sluice").Spec.Template.Spec
	if len(pod.Volumes) != 1 || pod.Volumes[0].Secret == nil || len(pod.Containers[0].VolumeMounts) != 1 {
		t.Fatalf("volumes %+v, want the Secret alone", pod.Volumes)
	}
	source, mount := pod.Volumes[0].Secret, pod.Containers[0].VolumeMounts[0]
	if source.SecretName != serving.Spec.SecretName || (source.Optional != nil && *source.Optional) {
		t.Errorf("Secret %q is mounted (optional: %v), want %q to be waited for", source.SecretName, source.Optional, serving.Spec.SecretName)
	}
	if source.DefaultMode == nil || *source.DefaultMode != 0o440 {
		t.Errorf("the files have mode %v, want 0440", source.DefaultMode)
	}
	var files []string
	for _, item := range source.Items {
		files = append(files, item.Key+"="+item.Path)
	}
	if want := []string{"tls.crt=tls.crt", "tls.key=tls.key"}; !slices.Equal(files, want) {
		t.Errorf("the Secret's keys are mounted as %v, want %v", files, want)
	}
	if mount.Name != pod.Volumes[0].Name || mount.MountPath != certs.DefaultDir || !mount.ReadOnly || mount.SubPath != "" {
		t.Errorf("mounted as %+v, want the whole folder, read-only, at %s", mount, certs.DefaultDir)
	}
	arguments := slices.DeleteFunc(slices.Clone(pod.Containers[0].Args), func(arg string) bool { return !strings.HasPrefix(arg, "-certs-") })
	if want := []string{"-certs-mode=files"}; !slices.Equal(arguments, want) {
		t.Errorf("arguments for certificates are %v, want %v", arguments, want)
	}
}

// TestCertManagerTakesRightsAway compares the Role in Sluice's own namespace with that of the base.
func TestCertManagerTakesRightsAway(t *testing.T) {
	role := find[rbacv1.Role](t, rendered(t, certManagerFile), "Role", "sluice")
	for _, rule := range role.Rules {
		if slices.Contains(rule.Resources, "secrets") {
			t.Errorf("the Role in Sluice's own namespace still reaches Secrets: %+v", rule)
		}
	}
	builtin := find[rbacv1.Role](t, rendered(t, "install.yaml"), "Role", "sluice")
	if len(role.Rules) != len(builtin.Rules)-2 {
		t.Errorf("the Role has %d rules, want the %d of the base without those two on Secrets", len(role.Rules), len(builtin.Rules))
	}
}

// TestCertManagerInstallAppliesWithoutWarnings applies the file where cert-manager's CRDs are, over itself too, and creates the pod.
func TestCertManagerInstallAppliesWithoutWarnings(t *testing.T) {
	installCertManagerCRDs(t)
	c, heard := newClient(t)
	objects := install(t, c, certManagerFile)
	install(t, c, certManagerFile)
	template := find[appsv1.Deployment](t, objects, "Deployment", "sluice").Spec.Template
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.GenerateName = ownNamespace, "dry-run-"
	admitsPod(t, c, "with the mounted certificate", pod)
	if len(heard.text) > 0 {
		t.Errorf("the API server warns:\n%s", strings.Join(heard.text, "\n"))
	}
	for i, object := range objects {
		if strings.HasPrefix(object.GetAPIVersion(), "admissionregistration.k8s.io/") && i < len(objects)-2 {
			t.Errorf("%s comes before what it depends on", object.GetKind())
		}
	}
}

// composed renders components, and copies of single files, on top of an overlay. All paths are from the folder of the manifests.
func composed(t *testing.T, overlay string, more ...string) []*unstructured.Unstructured {
	t.Helper()
	manifests, err := filepath.Abs(filepath.Join("..", "..", "manifests"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	up, err := filepath.Rel(dir, manifests)
	if err != nil {
		t.Fatal(err)
	}
	resources, components := []string{filepath.Join(up, overlay)}, []string{}
	for _, name := range more {
		if filepath.Ext(name) == "" {
			components = append(components, filepath.Join(up, name))
			continue
		}
		// kustomize reads no single files from elsewhere.
		content, err := os.ReadFile(filepath.Join(manifests, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), content, 0o600); err != nil {
			t.Fatal(err)
		}
		resources = append(resources, filepath.Base(name))
	}
	content := fmt.Sprintf("sortOptions: {order: legacy}\nresources: [%s]\ncomponents: [%s]\n", strings.Join(resources, ", "), strings.Join(components, ", "))
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return built(t, dir)
}

// built renders a folder with kustomize, whose path is absolute or from the root of the checkout.
func built(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	kustomize := exec.CommandContext(t.Context(), "go", "tool", "-modfile=e2e/tools/kustomize/go.mod", "kustomize", "build", dir)
	kustomize.Dir = filepath.Join("..", "..")
	var problem bytes.Buffer
	kustomize.Stderr = &problem
	out, err := kustomize.Output()
	if err != nil {
		t.Fatalf("rendering: %v: %s", err, &problem)
	}
	return decodeAll(t, bytes.NewReader(out))
}

// installComposed applies what composed renders and waits until the rights are what they should be, whatever other tests have left.
func installComposed(t *testing.T, c client.Client) []*unstructured.Unstructured {
	t.Helper()
	objects := composed(t, "overlays/namespaced", "components/cert-manager")
	t.Cleanup(func() { removeWebhooks(t, c, objects) })
	for _, left := range []client.Object{
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "sluice-workloads"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ownNamespace, Name: certs.DefaultCASecret}},
	} {
		if err := c.Delete(t.Context(), left); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "test"}}
	if err := c.Create(t.Context(), ns); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	apply(t, c, objects)
	eventually(t, "Sluice may read Secrets of its applications, and none of its own", func(ctx context.Context) error {
		for namespace, want := range map[string]bool{"test": true, ownNamespace: false} {
			may, err := mayReadSecrets(ctx, c, namespace)
			if err != nil {
				return err
			}
			if may != want {
				return fmt.Errorf("in namespace %s it may: %t", namespace, may)
			}
		}
		return nil
	})
	return objects
}

// TestMountedCertificateNeedsNoRightOnSecrets runs the program as the component ships it, for one namespace: it serves what cert-manager has
// issued, and neither reads, makes nor injects a CA.
func TestMountedCertificateNeedsNoRightOnSecrets(t *testing.T) {
	c := runCertManager(t)
	objects := installComposed(t, c)
	health, webhook := testserver.FreePort(t), testserver.FreePort(t)
	start := func(dir string) *process {
		return launch(t, append(slices.Clone(find[appsv1.Deployment](t, objects, "Deployment", "sluice").Spec.Template.Spec.Containers[0].Args),
			"-kubeconfig="+serviceAccount(t), "-own-namespace="+ownNamespace, "-certs-dir="+dir, "-drain=0", "-port=0",
			fmt.Sprintf("-health-port=%d", health), fmt.Sprintf("-webhook-port=%d", webhook))...)
	}
	empty := t.TempDir()
	early := start(empty)
	if status := early.end(); status != 1 || !strings.Contains(early.output.String(), empty) {
		t.Errorf("exit status %d without files, want 1 and the folder's name", status)
	}

	content := issued(t, c, servingName, nil)
	p := start(newMount(t, content).dir)
	p.health, p.webhook = health, webhook
	eventually(t, "the replica gets ready", p.ready)
	shown, err := handshake(t.Context(), fmt.Sprintf("127.0.0.1:%d", webhook), content.ca)
	if err != nil {
		t.Fatalf("those who trust cert-manager's CA do not trust the webhook: %v", err)
	}
	if !shown.Equal(content.leaf) {
		t.Error("the webhook serves another certificate than the mounted one")
	}
	injected(t, c, content.ca)
	restsWithoutCA(t, c, p)
}

// restsWithoutCA checks that the process has asked for nothing that it may not, and has left the CA to others.
func restsWithoutCA(t *testing.T, c client.Client, p *process) {
	t.Helper()
	if strings.Contains(p.output.String(), "forbidden") {
		t.Errorf("the shipped rights do not suffice:\n%s", p.output)
	}
	var secrets corev1.SecretList
	if err := c.List(t.Context(), &secrets, client.InNamespace(ownNamespace)); err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets.Items {
		if s.Name == certs.DefaultCASecret {
			t.Error("the built-in authority has made a CA")
		}
	}
}

// mayReadSecrets asks the API server about the shipped service account.
func mayReadSecrets(ctx context.Context, c client.Client, namespace string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + ownNamespace + ":sluice",
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + ownNamespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "get", Resource: "secrets", Name: certs.DefaultCASecret},
	}}
	err := c.Create(ctx, review)
	return review.Status.Allowed, err
}
