//go:build e2e && integration

package dataplanes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/e2e/tools"
)

const (
	system   = "istio-system"
	patience = 2 * time.Minute
)

var server *testserver.Server

func TestMain(m *testing.M) {
	os.Exit(testserver.Run(testserver.Options{}, func(s *testserver.Server) int {
		server = s
		return m.Run()
	}))
}

// startIstiod runs Istio's control plane, which judges every object of its own kinds from then on, and returns where it serves xDS.
func startIstiod(t *testing.T, admin client.Client) (xds string) {
	t.Helper()
	dirs, err := tools.Build(t.Context(), os.Stderr, "istiod")
	must(t, err)
	source, err := tools.SourceDir()
	must(t, err)
	module, err := tools.ModuleDir(t.Context(), filepath.Join(source, "tools", "istiod"), "istio.io/istio")
	must(t, err)
	_, err = envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(module, "manifests", "charts", "base", "files", "crd-all.gen.yaml")}, ErrorIfPathMissing: true,
	})
	must(t, err)
	must(t, admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}}))
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(kubeconfig, server.KubeConfig, 0o600))
	grpc, http, https := testserver.FreePort(t), testserver.FreePort(t), testserver.FreePort(t)
	log, err := os.Create(filepath.Join(t.TempDir(), "istiod.log"))
	must(t, err)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dirs["istiod"], "pilot-discovery"), "discovery", "--kubeconfig="+kubeconfig,
		fmt.Sprintf("--grpcAddr=127.0.0.1:%d", grpc), fmt.Sprintf("--httpAddr=127.0.0.1:%d", http), fmt.Sprintf("--httpsAddr=127.0.0.1:%d", https),
		"--secureGRPCAddr=", "--monitoringAddr=", "--meshConfig="+filepath.Join(t.TempDir(), "none"))
	cmd.Env = append(os.Environ(), "POD_NAMESPACE="+system, "POD_NAME=istiod", "ISTIOD_CUSTOM_HOST=localhost", "VALIDATION_WEBHOOK_CONFIG_NAME=")
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), log, log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if raw, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("istiod said: %s", raw[max(0, len(raw)-6000):])
		}
		must(t, log.Close())
	})
	must(t, testserver.Poll(t.Context(), patience, func(ctx context.Context) error {
		_, err := testserver.Fetch(ctx, fmt.Sprintf("http://127.0.0.1:%d/ready", http))
		return err
	}))
	validate(t, admin, https)
	return fmt.Sprintf("127.0.0.1:%d", grpc)
}

// validate has the API server ask istiod about each object of Istio's, and takes no silence for an answer.
func validate(t *testing.T, admin client.Client, port int) {
	t.Helper()
	ca := &corev1.Secret{}
	must(t, testserver.Poll(t.Context(), patience, func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKey{Namespace: system, Name: "istio-ca-secret"}, ca)
	}))
	url, fail, none, scope := fmt.Sprintf("https://localhost:%d/validate", port), admissionv1.Fail, admissionv1.SideEffectClassNone, admissionv1.AllScopes
	must(t, admin.Create(t.Context(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-validator"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "validation.istio.io", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionv1.WebhookClientConfig{URL: &url, CABundle: ca.Data["ca-cert.pem"]},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{"networking.istio.io"}, APIVersions: []string{"*"}, Resources: []string{"*"}, Scope: &scope},
			}},
		}},
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
