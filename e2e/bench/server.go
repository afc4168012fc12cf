package bench

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

const (
	adminToken = "admin"
	ownToken   = "sluice"
	// startTimeout bounds the start of one process.
	startTimeout = 3 * time.Minute
	poll         = 50 * time.Millisecond
)

// cluster is what runs for the bench.
type cluster struct {
	dir string
	// gated is the API server that asks webhooks, plain the one that does not;
	// both serve the same objects.
	gated, plain *rest.Config
	auditLog     string
	ports        map[string]int
}

// process starts a program that ends with this process: its death is signalled
// when the thread ends that started it, so the caller keeps to one thread.
func process(ctx context.Context, dir, name, path string, args ...string) error {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return fmt.Errorf("log of %s: %w", name, err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	go func() {
		_ = cmd.Wait() // whoever waits for its answers notices
		_ = log.Close()
	}()
	return nil
}

// startCluster starts etcd and both API servers from a folder of programs.
func startCluster(ctx context.Context, programs, dir string) (*cluster, error) {
	c := &cluster{dir: dir, auditLog: filepath.Join(dir, "audit.log"), ports: map[string]int{}}
	for _, name := range []string{"etcd", "peer", "gated", "plain", "noop", "sluice", "health", "metrics"} {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		c.ports[name] = port
	}
	if err := c.writeFiles(); err != nil {
		return nil, err
	}
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", c.ports["etcd"]), fmt.Sprintf("http://127.0.0.1:%d", c.ports["peer"])
	if err := process(ctx, dir, "etcd", filepath.Join(programs, "etcd"), "--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer); err != nil {
		return nil, err
	}
	if err := until(ctx, "etcd answers", func(ctx context.Context) error {
		_, err := get(ctx, &rest.Config{Host: client}, "/health")
		return err
	}); err != nil {
		return nil, err
	}
	var err error
	if c.gated, err = c.apiServer(ctx, programs, "gated", "ServiceAccount",
		"--audit-policy-file="+filepath.Join(dir, "audit.yaml"), "--audit-log-path="+c.auditLog); err != nil {
		return nil, err
	}
	c.plain, err = c.apiServer(ctx, programs, "plain", "ServiceAccount,MutatingAdmissionWebhook,ValidatingAdmissionWebhook")
	return c, err
}

// apiServer starts an API server and returns how its administrator reaches it.
func (c *cluster) apiServer(ctx context.Context, programs, name, without string, more ...string) (*rest.Config, error) {
	key := filepath.Join(c.dir, "service-accounts.key")
	args := append([]string{
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", c.ports["etcd"]), fmt.Sprintf("--secure-port=%d", c.ports[name]),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--cert-dir=" + filepath.Join(c.dir, name), "--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC",
		"--disable-admission-plugins=" + without, "--token-auth-file=" + filepath.Join(c.dir, "tokens.csv"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
	}, more...)
	if err := process(ctx, c.dir, name, filepath.Join(programs, "kube-apiserver"), args...); err != nil {
		return nil, err
	}
	config := &rest.Config{
		Host: fmt.Sprintf("https://127.0.0.1:%d", c.ports[name]), BearerToken: adminToken, QPS: -1, WarningHandler: rest.NoWarnings{},
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(c.dir, name, "apiserver.crt")},
	}
	return config, until(ctx, "API server "+name+" is ready", func(ctx context.Context) error {
		_, err := get(ctx, config, "/readyz")
		return err
	})
}

// writeFiles writes what the API servers read. Only Sluice's requests are
// logged, each once, when it is answered.
func (c *cluster) writeFiles() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("key of service accounts: %w", err)
	}
	for name, text := range map[string]string{
		"service-accounts.key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		"tokens.csv": adminToken + `,admin,admin,"system:masters"` + "\n" +
			ownToken + "," + ownUser + `,sluice,"system:serviceaccounts,system:serviceaccounts:` + ownNamespace + `,system:authenticated"` + "\n",
		"audit.yaml": "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived, ResponseStarted]\nrules:\n" +
			"- level: Metadata\n  users: ['" + ownUser + "']\n- level: None\n",
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfig writes the file with which Sluice reaches the API server.
func (c *cluster) kubeconfig() (string, error) {
	path := filepath.Join(c.dir, "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: a, user: {token: %q}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
`, c.gated.Host, c.gated.CAFile, ownToken)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// until tries a condition until it holds, or startTimeout has passed.
func until(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		attempt, end := context.WithTimeout(ctx, 5*time.Second)
		err := check(attempt)
		end()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %s: %w", startTimeout, what, err)
		case <-time.After(poll):
		}
	}
}

// get returns the body of a 200.
func get(ctx context.Context, config *rest.Config, path string) ([]byte, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return body, err
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
