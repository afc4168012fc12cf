package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/sluice-dev/sluice/certs"
)

// ownNamespace is where Sluice runs unless the pod says otherwise.
const ownNamespace = "sluice-system"

// engineOptions are what decides how Canaries are handled; the controller and the emergency exit have to agree about them. The flags are
// Flagger's.
type engineOptions struct {
	kubeconfig         string
	meshProvider       string
	metricsServer      string
	eventWebhook       string
	namespace          string
	selectorLabels     string
	includeLabelPrefix string
	configTracking     bool
	noCrossNamespace   bool
	qps                float64
	burst              int
	alerts             alertOptions
}

func (o *engineOptions) bind(fs *flag.FlagSet) {
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "file that tells how to reach the API server; by default $KUBECONFIG, the pod's service account, or ~/.kube/config")
	fs.StringVar(&o.meshProvider, "mesh-provider", "", "traffic provider of Canaries without spec.provider; empty: each Canary names its own")
	fs.StringVar(&o.metricsServer, "metrics-server", "http://prometheus:9090", "Prometheus of Canaries without spec.metricsServer")
	fs.StringVar(&o.eventWebhook, "event-webhook", os.Getenv("EVENT_WEBHOOK_URL"),
		"URL that the events of Canaries without event hooks are told to; by default $EVENT_WEBHOOK_URL, and nobody where that is empty")
	fs.StringVar(&o.namespace, "namespace", "", "the only namespace to look at; empty: all")
	fs.StringVar(&o.selectorLabels, "selector-labels", "app,name,app.kubernetes.io/name", "labels by which targets may select their pods, the first found counts")
	fs.StringVar(&o.includeLabelPrefix, "include-label-prefix", "", "prefixes of the labels that primaries take over from their targets; * for all")
	fs.BoolVar(&o.configTracking, "enable-config-tracking", true, "take changes of referenced ConfigMaps and Secrets for changes of the target")
	fs.BoolVar(&o.noCrossNamespace, "no-cross-namespace-refs", false, "refuse references into other namespaces")
	o.alerts.bind(fs)
	// A hundred Canaries that change at once send some three thousand requests, and admission stores its snapshots by the same client: the
	// limit is for defects. What is fair to others the API server decides.
	fs.Float64Var(&o.qps, "kubeconfig-qps", 500, "requests to the API server per second, at most")
	fs.IntVar(&o.burst, "kubeconfig-burst", 1000, "requests to the API server in a burst, at most")
}

func (o *engineOptions) validate() error {
	var errs []error
	if !isURL(o.metricsServer) {
		errs = append(errs, fmt.Errorf("-metrics-server=%q is not a URL: write it like http://prometheus:9090", o.metricsServer))
	}
	if o.eventWebhook != "" && !isURL(o.eventWebhook) {
		errs = append(errs, errors.New("-event-webhook is not a URL: write it like http://events.example.com/, or leave it empty"))
	}
	errs = append(errs, o.alerts.validate())
	if len(list(o.selectorLabels)) == 0 {
		errs = append(errs, errors.New("-selector-labels is empty: name at least one label, such as app"))
	}
	if o.qps <= 0 || o.burst < 1 {
		errs = append(errs, fmt.Errorf("-kubeconfig-qps=%v and -kubeconfig-burst=%d: both have to be positive", o.qps, o.burst))
	}
	return errors.Join(errs...)
}

// isURL tells whether a value can be called by HTTP.
func isURL(value string) bool {
	u, err := url.Parse(value)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// restConfig finds the API server.
func (o *engineOptions) restConfig() (*rest.Config, error) {
	find := config.GetConfig
	if o.kubeconfig != "" {
		find = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", o.kubeconfig) }
	}
	cfg, err := find()
	if err != nil {
		return nil, fmt.Errorf("finding the API server: %w", err)
	}
	cfg.QPS, cfg.Burst = float32(o.qps), o.burst
	cfg.UserAgent = "sluice/" + version
	return cfg, nil
}

// controllerOptions are the flags of the controller.
type controllerOptions struct {
	log    logOptions
	engine engineOptions
	certs  certs.Options

	ownNamespace            string
	port, healthPort        int
	webhookPort             int
	leaderElection          bool
	leaderElectionNamespace string
	lease                   leaseOptions
	concurrency             int
	drain                   time.Duration
	shutdown                time.Duration
}

func (o *controllerOptions) bind(fs *flag.FlagSet) {
	o.log.bind(fs)
	o.engine.bind(fs)
	o.certs.BindFlags(fs)
	fs.StringVar(&o.ownNamespace, "own-namespace", podNamespace(), "namespace that Sluice runs in; by default the pod's, from $POD_NAMESPACE")
	fs.IntVar(&o.port, "port", 8080, "port of /metrics and /healthz; 0 for none")
	fs.IntVar(&o.healthPort, "health-port", 8081, "port of /healthz and /readyz for the kubelet; 0 for none")
	fs.IntVar(&o.webhookPort, "webhook-port", 9443, "port of the admission webhook")
	fs.BoolVar(&o.leaderElection, "enable-leader-election", true, "let one replica at a time reconcile")
	fs.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "namespace of the lease; by default Sluice's own")
	o.lease.bind(fs)
	fs.IntVar(&o.concurrency, "threadiness", 40, "Canaries that are reconciled at the same time")
	fs.DurationVar(&o.drain, "drain", 5*time.Second, "how long admission is still answered after SIGTERM, until API servers have learned that this replica goes")
	fs.DurationVar(&o.shutdown, "shutdown-timeout", 20*time.Second, "how long running work may take to end after the drain")
}

func (o *controllerOptions) validate() error {
	errs := []error{o.engine.validate(), o.lease.validate()}
	for _, port := range []struct {
		flag       string
		value, min int
	}{{"port", o.port, 0}, {"health-port", o.healthPort, 0}, {"webhook-port", o.webhookPort, 1}} {
		if port.value < port.min || port.value > 65535 {
			errs = append(errs, fmt.Errorf("-%s=%d is not a port: use %d to 65535", port.flag, port.value, port.min))
		}
	}
	if o.concurrency < 1 {
		errs = append(errs, fmt.Errorf("-threadiness=%d: at least one Canary at a time has to be reconciled", o.concurrency))
	}
	if o.drain < 0 || o.shutdown < 0 {
		errs = append(errs, fmt.Errorf("-drain=%s and -shutdown-timeout=%s: neither can be negative", o.drain, o.shutdown))
	}
	return errors.Join(errs...)
}

func podNamespace() string {
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	return ownNamespace
}

// list splits a comma-separated flag and drops what is empty.
func list(value string) []string {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// address is where a server listens; controller-runtime reads "0" as nowhere.
func address(port int) string {
	if port == 0 {
		return "0"
	}
	return fmt.Sprintf(":%d", port)
}
