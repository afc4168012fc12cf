//go:build e2e

package addons_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/cluster/addons"
)

const (
	setUpTimeout = 40 * time.Minute
	waitTimeout  = 3 * time.Minute
	image        = "local/podinfo:addons"
)

type logTo struct{ t *testing.T }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// TestTrafficIsSplitAndMeasured sends real requests through Traefik, by a
// route with weights and by ingresses with nginx annotations, and finds them
// again in Prometheus.
func TestTrafficIsSplitAndMeasured(t *testing.T) {
	const name = "test-addons"
	ctx, cancel := context.WithTimeout(t.Context(), setUpTimeout)
	defer cancel()
	t.Cleanup(func() {
		if err := cluster.Down(context.Background(), name, io.Discard); err != nil {
			t.Error(err)
		}
	})
	c, err := cluster.Start(ctx, cluster.Options{Name: name, Log: logTo{t}, EndWithParent: true})
	if err != nil {
		t.Fatal(err)
	}
	options := addons.Options{Log: logTo{t}}
	if err := addons.Traefik(ctx, c, options); err != nil {
		t.Fatal(err)
	}
	if err := addons.Prometheus(ctx, c, options); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadTool(ctx, logTo{t}, "podinfo", "podinfo", image); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(ctx, app("one")+app("two")+routes); err != nil {
		t.Fatal(err)
	}
	for _, app := range []string{"one", "two"} {
		if _, err := c.Kubectl(ctx, "", "-n", "test", "rollout", "status", "deployment/"+app, "--timeout=60s"); err != nil {
			t.Fatal(err)
		}
	}
	for _, host := range []string{"route.example.com", "ingress.example.com"} {
		t.Run(host, func(t *testing.T) {
			// The gateway learns of each application's pods on its own.
			waitUntil(t, func() error { return bothAnswer(c, host) })
			share := map[string]int{}
			for range 200 {
				version, err := ask(c, host)
				if err != nil {
					t.Fatal(err)
				}
				share[version]++
			}
			// 75 to 25: six standard deviations of 200 draws are 37.
			if share["one"]+share["two"] != 200 || share["two"] < 13 || share["two"] > 87 {
				t.Errorf("shares %v, want about 150 and 50", share)
			}
		})
	}
	for _, query := range []string{
		`sum(traefik_service_requests_total{service=~"test-two-.*@kubernetesgateway",code="200"})`,
		`sum(traefik_service_requests_total{service=~"test-.*@kubernetesingressnginx",code="200"})`,
		`sum(http_requests_total{kubernetes_namespace="test",kubernetes_pod_name=~"two-.*"})`,
	} {
		waitUntil(t, func() error {
			value, err := measure(c, query)
			if err == nil && value < 10 {
				err = fmt.Errorf("%s is %g, want most of the requests", query, value)
			}
			return err
		})
	}
}

// bothAnswer asks often enough for both applications to have answered, each time without an error.
func bothAnswer(c *cluster.Cluster, host string) error {
	answered := map[string]bool{}
	for range 40 {
		version, err := ask(c, host)
		if err != nil {
			return err
		}
		answered[version] = true
	}
	if !answered["one"] || !answered["two"] {
		return fmt.Errorf("%s was answered by %v only", host, answered)
	}
	return nil
}

// waitUntil polls until the check holds.
func waitUntil(t *testing.T, check func() error) {
	t.Helper()
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(waitTimeout)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

func get(c *cluster.Cluster, address, path, host string) ([]byte, error) {
	client := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{DialContext: c.DialContext, DisableKeepAlives: true},
	}
	request, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	if host != "" {
		request.Host = host
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", host, response.Status, body)
	}
	return body, err
}

// ask returns which of the two apps answered.
func ask(c *cluster.Cluster, host string) (string, error) {
	body, err := get(c, addons.TraefikAddress, "/", host)
	if err != nil {
		return "", err
	}
	var answer struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("answer %q: %w", body, err)
	}
	return answer.Message, nil
}

func measure(c *cluster.Cluster, query string) (float64, error) {
	body, err := get(c, addons.PrometheusAddress, "/api/v1/query?query="+url.QueryEscape(query), "")
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("answer %q: %w", body, err)
	}
	if len(answer.Data.Result) != 1 {
		return 0, fmt.Errorf("%s has %d results, want one", query, len(answer.Data.Result))
	}
	return strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
}

func app(name string) string {
	return strings.NewReplacer("NAME", name, "IMAGE", image).Replace(`---
apiVersion: v1
kind: Namespace
metadata: {name: test}
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: test}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: test}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata:
      labels: {app: NAME}
      annotations: {prometheus.io/scrape: "true", prometheus.io/port: "9898"}
    spec:
      containers:
        - name: podinfo
          image: IMAGE
          imagePullPolicy: Never
          args: [--port=9898, --ui-message=NAME]
          ports: [{name: http, containerPort: 9898}]
          readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 1}
`)
}

const routes = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route, namespace: test}
spec:
  parentRefs: [{name: ` + addons.GatewayName + `, namespace: ` + addons.GatewayNamespace + `}]
  hostnames: [route.example.com]
  rules:
    - backendRefs:
        - {name: one, port: 80, weight: 75}
        - {name: two, port: 80, weight: 25}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: one, namespace: test}
spec:
  ingressClassName: ` + addons.IngressClass + `
  rules:
    - host: ingress.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: one, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: two
  namespace: test
  annotations:
    nginx.ingress.kubernetes.io/canary: "true"
    nginx.ingress.kubernetes.io/canary-weight: "25"
spec:
  ingressClassName: ` + addons.IngressClass + `
  rules:
    - host: ingress.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: two, port: {number: 80}}}}]}
`
