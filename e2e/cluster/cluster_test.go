//go:build e2e

// These tests start real clusters; they need root and take a minute or two.
package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

const (
	startTimeout = 20 * time.Minute
	goneTimeout  = 3 * time.Minute
	// envChild makes the test binary start a cluster and wait to be killed.
	envChild = "SLUICE_TEST_START_AND_WAIT"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(envChild); name != "" {
		startAndWait(name)
	}
	os.Exit(m.Run())
}

// startAndWait is the process that TestEndsWithItsParent kills.
func startAndWait(name string) {
	_, err := cluster.Start(context.Background(), cluster.Options{Name: name, Log: os.Stderr, EndWithParent: true})
	if err != nil {
		fmt.Fprintf(os.Stdout, "failed: %v\n", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, "started")
	select {}
}

// logTo hands progress to the test's log.
type logTo struct{ t *testing.T }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func start(t *testing.T, name string) *cluster.Cluster {
	t.Helper()
	c, err := tryStart(t, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tryStart may be called from any goroutine.
func tryStart(t *testing.T, name string) (*cluster.Cluster, error) {
	t.Cleanup(func() {
		if err := cluster.Down(context.Background(), name, io.Discard); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	return cluster.Start(ctx, cluster.Options{Name: name, Log: logTo{t}, EndWithParent: true})
}

func TestNothingRemainsAfterCrash(t *testing.T) {
	before := lookAtMachine(t)
	const name = "test-crash"
	start(t, name)
	left := remember(t, name)
	if during := lookAtMachine(t); during != before {
		t.Errorf("the machine was changed: %+v, before %+v", during, before)
	}
	supervisor, _, err := left.dir.LoadProcess("supervisor")
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Kill(goneTimeout); err != nil {
		t.Fatal(err)
	}
	left.waitForNoProcess(t)
	if _, err := cluster.Open(t.Context(), name); err == nil {
		t.Error("a cluster without supervisor counts as running")
	}
	if err := cluster.Down(t.Context(), name, logTo{t}); err != nil {
		t.Fatal(err)
	}
	left.assertGone(t)
	if after := lookAtMachine(t); after != before {
		t.Errorf("the machine was changed: %+v, before %+v", after, before)
	}
}

func TestEndsWithItsParent(t *testing.T) {
	// After those that look at the whole machine.
	t.Parallel()
	const name = "test-parent"
	t.Cleanup(func() { _ = cluster.Down(context.Background(), name, io.Discard) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), envChild+"="+name)
	child.Stderr = logTo{t}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "started\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	left := remember(t, name)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	left.waitForNoProcess(t)
	left.assertGone(t)
}

func TestSideBySide(t *testing.T) {
	// After those that look at the whole machine.
	t.Parallel()
	names := []string{"test-a", "test-b"}
	clusters := make([]*cluster.Cluster, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { clusters[i], errs[i] = tryStart(t, name) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	a, b := clusters[0], clusters[1]
	if err := a.Apply(t.Context(), namespace("only-in-a")); err != nil {
		t.Fatal(err)
	}
	if out, err := b.Kubectl(t.Context(), "", "get", "namespace", "only-in-a"); err == nil {
		t.Errorf("an object of one cluster is in the other: %s", out)
	}
	again, err := cluster.Start(t.Context(), cluster.Options{Name: names[0], Log: logTo{t}})
	if err != nil {
		t.Fatal(err)
	}
	if again.Started() || again.KubeconfigPath() != a.KubeconfigPath() {
		t.Errorf("a second start gave another cluster: started %t, kubeconfig %s", again.Started(), again.KubeconfigPath())
	}
	left := remember(t, names[0])
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	left.assertGone(t)
	if _, err := b.Kubectl(t.Context(), "", "get", "nodes"); err != nil {
		t.Errorf("stopping one cluster hurt the other: %v", err)
	}
}

func namespace(name string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n"
}

// TestServesUsers walks through what a user does with a cluster, first on its
// own and then as if it were somebody else's.
func TestServesUsers(t *testing.T) {
	c := start(t, "test-users")
	ctx := t.Context()
	const image = "local/podinfo:test"
	if err := c.LoadTool(ctx, logTo{t}, "podinfo", "podinfo", image); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(ctx, podinfo(image)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(ctx, "", "rollout", "status", "deployment/podinfo", "--timeout=3m"); err != nil {
		t.Fatal(err)
	}
	ip, err := c.Kubectl(ctx, "", "get", "pods", "-l", "app=podinfo", "-o", "jsonpath={.items[0].status.podIP}")
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{"podinfo.default:80", "podinfo.default.svc.cluster.local:80", ip + ":9898"}
	for _, address := range addresses {
		mustAnswer(t, c, address)
	}
	if _, err := c.DialContext(ctx, "tcp", "nothing.default:80"); err == nil {
		t.Error("a service that does not exist was reached")
	}
	out, err := c.Kubectl(ctx, "", "exec", "deployment/podinfo", "--", "/usr/local/bin/podinfo", "--version")
	if err != nil || strings.TrimSpace(out) == "" {
		t.Errorf("exec: %q, %v", out, err)
	}
	out, err = c.Kubectl(ctx, "", "logs", "deployment/podinfo")
	if err != nil || !strings.Contains(out, "Starting HTTP Server") {
		t.Errorf("logs: %q, %v", out, err)
	}

	t.Setenv(cluster.EnvKubeconfig, c.KubeconfigPath())
	existing, err := cluster.Start(ctx, cluster.Options{Log: logTo{t}})
	if err != nil {
		t.Fatal(err)
	}
	if !existing.External() || existing.Started() {
		t.Error("the cluster of the variable counts as one of our own")
	}
	for _, address := range addresses {
		mustAnswer(t, existing, address)
	}
	if err := existing.LoadImage(ctx, "x.tar"); err == nil || !strings.Contains(err.Error(), cluster.EnvImagePrefix) {
		t.Errorf("loading an image into an existing cluster: %v, want a hint at %s", err, cluster.EnvImagePrefix)
	}
	if err := existing.Stop(ctx); err != nil {
		t.Error(err)
	}
	mustAnswer(t, c, addresses[0])
}

// mustAnswer asks until it is answered: the node learns of the endpoints of a Service a moment after its pods are ready.
func mustAnswer(t *testing.T, c *cluster.Cluster, address string) {
	t.Helper()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(goneTimeout)
	for {
		err := answers(c, address)
		if err == nil {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Errorf("%s: %v", address, err)
			return
		}
	}
}

func answers(c *cluster.Cluster, address string) error {
	client := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{DialContext: c.DialContext, DisableKeepAlives: true},
	}
	response, err := client.Get("http://" + address + "/version")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1000))
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), "version") {
		return fmt.Errorf("answered %s %q, %w", response.Status, body, err)
	}
	return nil
}

func podinfo(image string) string {
	return `apiVersion: v1
kind: Service
metadata: {name: podinfo, namespace: default}
spec:
  selector: {app: podinfo}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}}
    spec:
      containers:
        - name: podinfo
          image: ` + image + `
          imagePullPolicy: Never
          args: [--port=9898]
          ports: [{name: http, containerPort: 9898}]
          readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 1}
`
}
