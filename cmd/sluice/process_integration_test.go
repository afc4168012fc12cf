//go:build integration

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/certs"
)

// binary is the program under test, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sluice")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// process is one run of the program.
type process struct {
	t                     *testing.T
	cmd                   *exec.Cmd
	health, port, webhook int
	output                *output
	ended                 chan struct{}
	status                int
}

// output collects what a process writes, and may be read while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch starts the program under test.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return launchProgram(t, path, args...)
}

// launchProgram starts a program, which ends with the test.
func launchProgram(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(path, args...), output: &output{}, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit status tells
		p.status = p.cmd.ProcessState.ExitCode()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		if t.Failed() {
			t.Logf("output of %s %s:\n%s", filepath.Base(path), strings.Join(args, " "), p.output)
		}
	})
	return p
}

// leaseSeconds is how long the next leader waits where a test ends one without notice. One on a busy machine must not lose a lease that it has.
const leaseSeconds int32 = 20

// startController starts a replica on free ports. More arguments override those that all have.
func startController(t *testing.T, kubeconfig string, more ...string) *process {
	t.Helper()
	health, port, webhook := testserver.FreePort(t), testserver.FreePort(t), testserver.FreePort(t)
	p := launch(t, slices.Concat([]string{
		"controller", "-kubeconfig=" + kubeconfig, "-own-namespace=" + ownNamespace, "-mesh-provider=kubernetes", "-drain=2s", "-certs-settle=1s",
		fmt.Sprintf("-leader-election-lease-duration=%ds", leaseSeconds), fmt.Sprintf("-leader-election-renew-deadline=%ds", leaseSeconds-3),
		"-leader-election-retry-period=1s",
		fmt.Sprintf("-health-port=%d", health), fmt.Sprintf("-port=%d", port), fmt.Sprintf("-webhook-port=%d", webhook),
	}, more)...)
	p.health, p.port, p.webhook = health, port, webhook
	return p
}

// get asks the process and returns the body of a 200.
func (p *process) get(ctx context.Context, port int, path string) (string, error) {
	return testserver.Fetch(ctx, fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
}

func (p *process) ready(ctx context.Context) error {
	_, err := p.get(ctx, p.health, "/readyz?verbose")
	return err
}

// admits tells whether the webhook still takes connections.
func (p *process) admits() error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", fmt.Sprintf("127.0.0.1:%d", p.webhook),
		&tls.Config{InsecureSkipVerify: true, ServerName: "sluice-webhook.sluice-system.svc"})
	if err != nil {
		return err
	}
	return conn.Close()
}

// end waits for the process to end and returns its exit status.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.status
	case <-time.After(patience):
		p.t.Fatalf("still running after %s", patience)
		return -1
	}
}

// serviceAccount writes a kubeconfig for the shipped service account.
func serviceAccount(t *testing.T) string {
	t.Helper()
	user, err := server.AddUser(envtest.User{
		Name:   "system:serviceaccount:" + ownNamespace + ":sluice",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + ownNamespace, "system:authenticated"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// typedClient knows Canaries.
func typedClient(t *testing.T) client.Client {
	t.Helper()
	if err := v1beta1.AddToScheme(scheme.Scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(apiServer, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// application creates a Deployment and its Canary in a namespace of their own.
func application(t *testing.T, c client.Client) *v1beta1.Canary {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "app-"}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	replicas := int32(2)
	labels := map[string]string{"app": "podinfo"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "podinfo"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "podinfo", Image: "podinfo:1"}}},
			},
		},
	}
	canary := &v1beta1.Canary{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "podinfo"},
		Spec: v1beta1.CanarySpec{
			Provider:  "kubernetes",
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"},
			Service:   v1beta1.CanaryService{Port: 80},
			Analysis:  v1beta1.CanaryAnalysis{Interval: "10s", Threshold: 1, Iterations: 2},
		},
	}
	for _, object := range []client.Object{deployment, canary} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	return canary
}

func primaryExists(c client.Client, canary *v1beta1.Canary) func(context.Context) error {
	return func(ctx context.Context) error {
		return c.Get(ctx, client.ObjectKey{Namespace: canary.Namespace, Name: "podinfo-primary"}, &appsv1.Deployment{})
	}
}

func holder(ctx context.Context, c client.Client) (string, error) {
	var lease coordinationv1.Lease
	if err := c.Get(ctx, client.ObjectKey{Namespace: ownNamespace, Name: leaseName}, &lease); err != nil {
		return "", err
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return "", errors.New("nobody holds the lease")
	}
	return *lease.Spec.HolderIdentity, nil
}

// TestReplicasShareTheWork runs two replicas as they are shipped: both answer admission, one reconciles, and when that one is told to stop it
// drains, hands over at once and the other goes on.
func TestReplicasShareTheWork(t *testing.T) {
	c := typedClient(t)
	install(t, c, "install.yaml")
	kubeconfig := serviceAccount(t)
	// While it drains there is time to see that it does.
	leader := startController(t, kubeconfig, "-drain=15s")
	eventually(t, "the first replica gets ready", leader.ready)
	var first string
	eventually(t, "the first replica leads", func(ctx context.Context) (err error) {
		first, err = holder(ctx, c)
		return err
	})
	// Until then it may be the lease of a process that an earlier test has killed.
	eventually(t, "the lease lasts as long as the flag says", func(ctx context.Context) error {
		var lease coordinationv1.Lease
		if err := c.Get(ctx, client.ObjectKey{Namespace: ownNamespace, Name: leaseName}, &lease); err != nil {
			return err
		}
		if seconds := lease.Spec.LeaseDurationSeconds; seconds == nil || *seconds != leaseSeconds {
			return errors.New("the lease is of another length")
		}
		return nil
	})
	follower := startController(t, kubeconfig)
	eventually(t, "the second replica gets ready", follower.ready)
	eventually(t, "a primary is made", primaryExists(c, application(t, c)))
	eventually(t, "metrics", func(ctx context.Context) error {
		text, err := leader.get(ctx, leader.port, "/metrics")
		if err == nil && !strings.Contains(text, fmt.Sprintf(`flagger_info{mesh_provider="kubernetes",version="%s"} 1`, version)) {
			err = errors.New("no flagger_info")
		}
		return err
	})
	eventually(t, "the webhook configurations go with Sluice's namespace", tethered(c))
	if body, err := leader.get(t.Context(), leader.port, "/healthz"); err != nil || body != "OK" {
		t.Errorf("/healthz beside the metrics says %q, %v; want OK", body, err)
	}

	if err := leader.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stopping replica is no longer ready", func(ctx context.Context) error {
		if leader.ready(ctx) == nil {
			return errors.New("ready")
		}
		return nil
	})
	if err := leader.admits(); err != nil {
		t.Errorf("the stopping replica refuses admission before API servers know: %v", err)
	}
	if status := leader.end(); status != 0 {
		t.Errorf("exit status %d after SIGTERM, want 0", status)
	}
	eventually(t, "the other replica leads", func(ctx context.Context) error {
		now, err := holder(ctx, c)
		if err == nil && now == first {
			err = errors.New("the lease was not handed over")
		}
		return err
	})
	eventually(t, "a primary is made by the other replica", primaryExists(c, application(t, c)))
	if strings.Contains(follower.output.String(), "forbidden") {
		t.Errorf("the shipped rights do not suffice:\n%s", follower.output)
	}
}

// tethered tells whether Sluice's namespace, as it is now, is the one owner of both webhook configurations.
func tethered(c client.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		var namespace corev1.Namespace
		if err := c.Get(ctx, client.ObjectKey{Name: ownNamespace}, &namespace); err != nil {
			return err
		}
		for _, object := range []client.Object{&admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}} {
			if err := c.Get(ctx, client.ObjectKey{Name: certs.DefaultConfiguration}, object); err != nil {
				return err
			}
			owners := object.GetOwnerReferences()
			if len(owners) != 1 || owners[0].Kind != "Namespace" || owners[0].UID != namespace.UID {
				return fmt.Errorf("%T is owned by %v", object, owners)
			}
		}
		return nil
	}
}

// TestExitGivesBack runs the emergency exit with no controller running, on one application that can be given back at once.
func TestExitGivesBack(t *testing.T) {
	c := typedClient(t)
	install(t, c, "install.yaml")
	kubeconfig := serviceAccount(t)
	controller := startController(t, kubeconfig)
	canary := application(t, c)
	eventually(t, "a primary is made", primaryExists(c, canary))
	if err := controller.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-controller.ended
	// Pods never get ready here, so an exit cannot finish while the target is to serve.
	flags := []string{"exit", "-kubeconfig=" + kubeconfig, "-namespace=" + canary.Namespace, "-log-level=error"}
	stuck := launch(t, append(flags, "-timeout=20s")...)
	if status := stuck.end(); status != 1 || !strings.Contains(stuck.output.String(), "1 application(s) not given back yet") {
		t.Errorf("exit status %d of an exit that cannot finish, want 1 and the number that remains", status)
	}
	for _, object := range []client.Object{&admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}} {
		if err := c.Get(t.Context(), client.ObjectKey{Name: certs.DefaultConfiguration}, object); !apierrors.IsNotFound(err) {
			t.Errorf("%T is still there: %v", object, err)
		}
	}
	// Without a target there is nothing to wait for.
	if err := c.Delete(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: canary.Namespace, Name: "podinfo"}}); err != nil {
		t.Fatal(err)
	}
	done := launch(t, flags...)
	if status := done.end(); status != 0 || !strings.Contains(done.output.String(), "Done") {
		t.Errorf("exit status %d, want 0", status)
	}
	if err := primaryExists(c, canary)(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("the primary is still there: %v", err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(canary), canary); err != nil {
		t.Fatal(err)
	}
	if len(canary.Finalizers) > 0 || canary.Annotations[v1beta1.AnnotationLeave] != "true" {
		t.Errorf("the Canary has finalizers %v and annotations %v, want none and the request to leave", canary.Finalizers, canary.Annotations)
	}
	again := launch(t, flags...)
	if status := again.end(); status != 0 || strings.Count(again.output.String(), "already gone") != 2 {
		t.Errorf("exit status %d of a second exit, want 0 and nothing to do", status)
	}
}
