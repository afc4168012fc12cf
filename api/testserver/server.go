//go:build integration

// Package testserver starts an API server for the tests of one package: etcd and kube-apiserver as processes, in a folder that holds everything
// temporary. However the test process ends, by SIGKILL too, a guard ends all that it started and removes the folder.
//
// It serves the TestMain of integration tests. What a test does with the API server never lives here, and nothing that ships may import it.
package testserver

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// The defaults are too short for a machine that builds and tests other packages at the same time.
const (
	startTimeout = 3 * time.Minute
	stopTimeout  = time.Minute
	crdTimeout   = 3 * time.Minute
)

// InstallCRDs gives the API server the kinds in files or folders, and waits until it serves them.
func InstallCRDs(config *rest.Config, paths ...string) error {
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: paths, ErrorIfPathMissing: true, MaxTime: crdTimeout})
	return err
}

// Options say what the API server has from the beginning.
type Options struct {
	// CRDs are folders of manifests to install.
	CRDs []string
	// Webhooks are folders of webhook configurations to install, with the time of WebhookTimeout for each call; the Server's WebhookInstallOptions say
	// where they are to be served.
	Webhooks []string
	// Uncached has each request see what those before it have written: the API server reads from etcd and keeps no cache of objects. With one it tries
	// a change on what it has cached first, and asks admission about that as well.
	Uncached bool
	// CallEndpoints lets the API server call webhooks at the endpoints of their Service: nobody here serves a Service's own address.
	CallEndpoints bool
}

// Server is a running API server. Its Config is that of an administrator.
type Server struct {
	*envtest.Environment
	// Directory holds everything temporary of the test process and its children. It goes with them.
	Directory string
	// Scheme knows the kinds of Kubernetes and of flagger.app.
	Scheme *runtime.Scheme
}

// init makes this process the guard where it was started as that: the guard is the same test binary, and must not depend on what else the binary
// does before its tests begin.
func init() {
	if directory := os.Getenv(guardVariable); directory != "" {
		os.Exit(guard(directory, os.Stdin))
	}
}

// Run starts an API server, calls the tests with it, takes it down and returns the exit status for TestMain. What goes wrong is said on stderr.
func Run(options Options, tests func(*Server) int) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: it names the folder with etcd and kube-apiserver; `make integration` builds them and sets it")
		return 1
	}
	guarded, err := startGuard()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the guard of the API server:", err)
		return 1
	}
	status := run(options, guarded.directory, tests)
	if err := guarded.end(); err != nil {
		fmt.Fprintln(os.Stderr, "end the guard of the API server:", err)
		return 1
	}
	return status
}

func run(options Options, directory string, tests func(*Server) int) int {
	s, err := start(options, directory)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the API server:", err)
		return 1
	}
	defer func() {
		if err := s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
		}
	}()
	return tests(s)
}

func start(options Options, directory string) (*Server, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	webhooks, err := readWebhooks(options.Webhooks)
	if err != nil {
		return nil, err
	}
	s := &Server{Directory: directory, Scheme: scheme, Environment: &envtest.Environment{
		CRDDirectoryPaths:        options.CRDs,
		ErrorIfCRDPathMissing:    true,
		CRDInstallOptions:        envtest.CRDInstallOptions{MaxTime: crdTimeout},
		WebhookInstallOptions:    webhooks,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
	}}
	if options.CallEndpoints {
		s.ControlPlane.GetAPIServer().Configure().Append("enable-aggregator-routing", "true")
	}
	if options.Uncached {
		s.ControlPlane.GetAPIServer().Configure().Set("watch-cache", "false")
	}
	_, err = s.Start()
	return s, err
}

// Client returns a client of the administrator that reads and writes directly.
func (s *Server) Client() (client.Client, error) {
	return client.New(s.Config, client.Options{Scheme: s.Scheme})
}

// portsTaken counts what FreePort has looked at.
var portsTaken atomic.Int64

// FreePort returns a port outside the range that Linux takes for outgoing connections: one from there is soon somebody's, and tests make many.
// Processes that test at the same time look at different places.
func FreePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + (31*os.Getpid()+int(portsTaken.Add(1)))%10000
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		listener.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}
