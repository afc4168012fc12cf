package mesh

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// podLabel tells the pods of the target from those of the primary.
var podLabel = core.PodLabel{Key: "app", Target: "podinfo", Primary: "podinfo-primary"}

func equal(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

// informed returns a provider that has seen the user's object after which it makes its own.
func informed(t *testing.T, p Provider, c *v1beta1.Canary) Provider {
	t.Helper()
	d, ok := p.(derived)
	if !ok {
		return p
	}
	o, namespace := d.source(c)
	if o.Name == "" {
		return d.after(nil)
	}
	u := parse(t, strings.ReplaceAll(sources[o.Kind.Kind], "APEX", sideService(c, core.SideUnknown)))
	u.SetName(o.Name)
	u.SetNamespace(namespace)
	return d.after(u)
}

// sources are what users have before there is a Canary, by kind. APEX stands for the apex Service.
var sources = map[string]string{
	"Ingress": `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: public
  annotations:
    cert-manager.io/cluster-issuer: ours
    nginx.ingress.kubernetes.io/canary-weight: "7"
    nginx.ingress.kubernetes.io/proxy-body-size: 8m
    zalando.org/skipper-predicate: Header("x-app", "web")
spec:
  ingressClassName: web
  tls: [{hosts: [app.example.com], secretName: app}]
  rules:
  - host: app.example.com
    http:
      paths:
      - {path: /other, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}
      - {path: /, pathType: Prefix, backend: {service: {name: APEX, port: {number: 80}}}}
  - host: none.example.com
`,
	"ApisixRoute": `apiVersion: apisix.apache.org/v2
kind: ApisixRoute
metadata:
  name: public
spec:
  ingressClassName: apisix
  http:
  - name: other
    match: {hosts: [app.example.com], paths: [/other]}
    backends: [{serviceName: other, servicePort: 80}]
  - name: root
    priority: 5
    match: {hosts: [app.example.com], paths: [/*]}
    backends: [{serviceName: APEX, servicePort: 80, resolveGranularity: service}]
    plugins: [{name: prometheus, enable: true, config: {prefer_name: true}}]
`,
	"Upstream": `apiVersion: gloo.solo.io/v1
kind: Upstream
metadata:
  name: public
spec:
  static: {hosts: [{addr: example.com, port: 80}]}
  useHttp2: true
  circuitBreakers: {maxRequests: 7}
`,
}

func gatewayRef(name string) gatewayv1.ParentReference {
	return gatewayv1.ParentReference{Name: gatewayv1.ObjectName(name)}
}
