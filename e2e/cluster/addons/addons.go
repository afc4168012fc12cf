// Package addons installs what the end-to-end stories need beside Sluice: the
// Gateway API's definitions, Traefik as a gateway that carries real traffic,
// Prometheus, which scrapes it and the pods, and metrics-server for autoscalers.
// They run as pods from images of their own binaries, and every function returns only when they are ready.
//
// Calling a function again is harmless: it applies the same objects. What may
// never live here: Sluice itself and anything that a story is about.
package addons

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/tools"
)

//go:embed *.yaml
var manifests embed.FS

// Options hold what all add-ons share.
type Options struct {
	// Log receives the progress of builds; nil discards it.
	Log io.Writer
	// ReadyTimeout bounds the wait for pods; 0 means two minutes.
	ReadyTimeout time.Duration
	// ScrapeInterval is Prometheus'; 0 means 1s. At least 1s.
	ScrapeInterval time.Duration
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = 2 * time.Minute
	}
	if o.ScrapeInterval == 0 {
		o.ScrapeInterval = time.Second
	}
	return o
}

// addon is one program that runs as a Deployment of the same name.
type addon struct {
	name, namespace, image string
	// manifest is a file of this package, a template over values.
	manifest string
}

// values fill the manifests.
type values struct {
	Image          string
	ScrapeInterval string
}

func (a addon) install(ctx context.Context, c *cluster.Cluster, o Options) error {
	if err := c.LoadTool(ctx, o.Log, a.name, a.name, a.image); err != nil {
		return fmt.Errorf("install %s: %w", a.name, err)
	}
	parsed, err := template.ParseFS(manifests, a.manifest)
	if err != nil {
		return fmt.Errorf("install %s: %w", a.name, err)
	}
	var text strings.Builder
	err = parsed.Execute(&text, values{Image: c.Image(a.image), ScrapeInterval: o.ScrapeInterval.String()})
	if err != nil {
		return fmt.Errorf("install %s: %w", a.name, err)
	}
	if err := c.Apply(ctx, text.String()); err != nil {
		return fmt.Errorf("install %s: %w", a.name, err)
	}
	return rolledOut(ctx, c, a.namespace, a.name, o.ReadyTimeout)
}

// rolledOut waits until a Deployment is ready, and says in the error what its
// pods are waiting for if it is not.
func rolledOut(ctx context.Context, c *cluster.Cluster, namespace, name string, timeout time.Duration) error {
	_, err := c.Kubectl(ctx, "", "--namespace", namespace, "rollout", "status", "deployment/"+name, "--timeout="+timeout.String())
	if err == nil {
		return nil
	}
	pods, _ := c.Kubectl(ctx, "", "--namespace", namespace, "describe", "pods")
	const most = 3000
	if len(pods) > most {
		pods = pods[len(pods)-most:]
	}
	return fmt.Errorf("wait for %s: %w\n%s", name, err, pods)
}

// GatewayAPI installs the standard channel's definitions of the Gateway API,
// at the version that Sluice itself is built with.
func GatewayAPI(ctx context.Context, c *cluster.Cluster) error {
	source, err := tools.SourceDir()
	if err != nil {
		return err
	}
	module, err := tools.ModuleDir(ctx, filepath.Dir(source), "sigs.k8s.io/gateway-api")
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(module, "config", "crd", "standard", "*.yaml"))
	if err != nil {
		return fmt.Errorf("find the Gateway API's definitions: %w", err)
	}
	slices.Sort(files)
	var all []string
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "kustomization") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the Gateway API's definitions: %w", err)
		}
		all = append(all, string(data))
	}
	if len(all) == 0 {
		return fmt.Errorf("the Gateway API's definitions are not in %s", module)
	}
	if err := c.Apply(ctx, strings.Join(all, "\n---\n")); err != nil {
		return fmt.Errorf("install the Gateway API: %w", err)
	}
	_, err = c.Kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=60s",
		"crd/gatewayclasses.gateway.networking.k8s.io", "crd/gateways.gateway.networking.k8s.io", "crd/httproutes.gateway.networking.k8s.io")
	if err != nil {
		return fmt.Errorf("install the Gateway API: %w", err)
	}
	return nil
}

// Where Traefik and its Gateway are.
const (
	// TraefikAddress takes user traffic, for Cluster.DialContext.
	TraefikAddress = "traefik.traefik:80"
	// GatewayName and GatewayNamespace are what routes name as their parent.
	GatewayName      = "traefik"
	GatewayNamespace = "traefik"
	// IngressClass is served with the annotations of the nginx ingress.
	IngressClass = "nginx"
)

// Traefik installs the Gateway API and Traefik with the GatewayClass "traefik"
// and a Gateway that takes routes from all namespaces. It also serves Ingresses
// of class "nginx" and exports request metrics per service.
func Traefik(ctx context.Context, c *cluster.Cluster, o Options) error {
	o = o.withDefaults()
	if err := GatewayAPI(ctx, c); err != nil {
		return err
	}
	traefik := addon{name: "traefik", namespace: "traefik", image: "local/traefik:v3.7.5", manifest: "traefik.yaml"}
	if err := traefik.install(ctx, c, o); err != nil {
		return err
	}
	_, err := c.Kubectl(ctx, "", "--namespace", GatewayNamespace, "wait", "--for=condition=Programmed", "gateway/"+GatewayName,
		"--timeout="+o.ReadyTimeout.String())
	if err != nil {
		return fmt.Errorf("install traefik: %w", err)
	}
	return nil
}

// PrometheusAddress is where Prometheus answers within the cluster, for
// Cluster.DialContext and, with "http://", as a metrics server.
const PrometheusAddress = "prometheus.monitoring:9090"

// Prometheus installs a Prometheus that scrapes every pod annotated with
// prometheus.io/scrape: "true", and labels the samples with
// kubernetes_namespace and kubernetes_pod_name.
func Prometheus(ctx context.Context, c *cluster.Cluster, o Options) error {
	o = o.withDefaults()
	if o.ScrapeInterval < time.Second {
		return fmt.Errorf("install prometheus: scrape interval %s is below 1s", o.ScrapeInterval)
	}
	prometheus := addon{name: "prometheus", namespace: "monitoring", image: "local/prometheus:v3.16.0", manifest: "prometheus.yaml"}
	return prometheus.install(ctx, c, o)
}

// MetricsServer installs the resource metrics of nodes and pods, by which a
// HorizontalPodAutoscaler scales. It returns when the API server serves them.
func MetricsServer(ctx context.Context, c *cluster.Cluster, o Options) error {
	o = o.withDefaults()
	server := addon{name: "metrics-server", namespace: "kube-system", image: "local/metrics-server:v0.9.0", manifest: "metrics-server.yaml"}
	if err := server.install(ctx, c, o); err != nil {
		return err
	}
	_, err := c.Kubectl(ctx, "", "wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout="+o.ReadyTimeout.String())
	if err != nil {
		return fmt.Errorf("install metrics-server: %w", err)
	}
	return nil
}
