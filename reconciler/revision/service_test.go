package revision

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func plainService() corev1.ServiceSpec {
	return corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, Selector: map[string]string{"app": "v1"}, ClusterIP: "10.0.0.1", ClusterIPs: []string{"10.0.0.1"},
		IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: new(corev1.IPFamilyPolicySingleStack),
		SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyCluster),
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(80)}},
	}
}

func serviceSnapshot(t *testing.T, spec corev1.ServiceSpec) (Snapshot, string) {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&corev1.Service{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetAPIVersion("v1")
	u.SetKind(Service)
	u.SetName("web")
	s, contents, err := Take(u, func(ConfigRef) (*Content, error) { t.Error("a config was looked for"); return nil, nil })
	if err != nil || len(contents) != 0 {
		t.Fatal(contents, err)
	}
	digest, err := s.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return s, digest
}

// What leads requests elsewhere is another revision; how the one Service is reached, and what the API server fills in, is not.
func TestRevisionOfAService(t *testing.T) {
	_, base := serviceSnapshot(t, plainService())
	for name, c := range map[string]struct {
		edit func(*corev1.ServiceSpec)
		same bool
	}{
		"its addresses":         {func(s *corev1.ServiceSpec) { s.ClusterIP, s.ClusterIPs = "10.0.0.9", []string{"10.0.0.9"} }, true},
		"two address families":  {func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = new(corev1.IPFamilyPolicyPreferDualStack) }, true},
		"a node port":           {func(s *corev1.ServiceSpec) { s.Type, s.Ports[0].NodePort = corev1.ServiceTypeNodePort, 30001 }, true},
		"a load balancer":       {func(s *corev1.ServiceSpec) { s.Type, s.HealthCheckNodePort = corev1.ServiceTypeLoadBalancer, 30002 }, true},
		"no defaults":           {func(s *corev1.ServiceSpec) { s.InternalTrafficPolicy, s.SessionAffinity = nil, "" }, true},
		"a target port default": {func(s *corev1.ServiceSpec) { s.Ports[0].TargetPort, s.Ports[0].Protocol = intstr.FromInt32(80), "" }, true},
		"another selector":      {func(s *corev1.ServiceSpec) { s.Selector = map[string]string{"app": "v2"} }, false},
		"another target port":   {func(s *corev1.ServiceSpec) { s.Ports[0].TargetPort = intstr.FromInt32(8080) }, false},
		"another port":          {func(s *corev1.ServiceSpec) { s.Ports = append(s.Ports, corev1.ServicePort{Name: "x", Port: 81}) }, false},
		"an external name":      {func(s *corev1.ServiceSpec) { s.Type, s.ExternalName = corev1.ServiceTypeExternalName, "db.example.com" }, false},
		"affinity":              {func(s *corev1.ServiceSpec) { s.SessionAffinity = corev1.ServiceAffinityClientIP }, false},
		"distribution":          {func(s *corev1.ServiceSpec) { s.TrafficDistribution = new(corev1.ServiceTrafficDistributionPreferClose) }, false},
		"pods that are unready": {func(s *corev1.ServiceSpec) { s.PublishNotReadyAddresses = true }, false},
	} {
		spec := plainService()
		c.edit(&spec)
		if _, digest := serviceSnapshot(t, spec); (digest == base) != c.same {
			t.Errorf("%s: same revision is %v, want %v", name, digest == base, c.same)
		}
	}
}

// A copy leads where its original does, keeps what is its own, and is not written again.
func TestServiceThatLeadsTo(t *testing.T) {
	original := plainService()
	original.Type, original.Ports[0].NodePort, original.Selector = corev1.ServiceTypeNodePort, 30001, map[string]string{"app": "v2"}
	s, digest := serviceSnapshot(t, original)
	own := plainService()
	own.ClusterIP, own.ClusterIPs = "10.0.0.7", []string{"10.0.0.7"}
	if err := LeadTo(s.Template, &own); err != nil {
		t.Fatal(err)
	}
	if own.ClusterIP != "10.0.0.7" || own.Type != corev1.ServiceTypeClusterIP || own.Ports[0].NodePort != 0 || own.Selector["app"] != "v2" {
		t.Errorf("copy %+v", own)
	}
	if _, same := serviceSnapshot(t, own); same != digest {
		t.Error("the copy is of another revision")
	}
	again := *own.DeepCopy()
	if err := LeadTo(s.Template, &again); err != nil || !equality.Semantic.DeepEqual(own, again) {
		t.Errorf("written again: %+v, %v", again, err)
	}
}

func TestServiceByName(t *testing.T) {
	spec := corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "db.example.com", SessionAffinity: corev1.ServiceAffinityNone}
	s, _ := serviceSnapshot(t, spec)
	own := plainService()
	if err := LeadTo(s.Template, &own); err != nil || own.ClusterIP != "" || own.ExternalName != "db.example.com" || own.InternalTrafficPolicy != nil {
		t.Errorf("%+v, %v", own, err)
	}
	// Back from a name, a Service is reached as it was before.
	balanced := plainService()
	balanced.Type = corev1.ServiceTypeLoadBalancer
	before, _ := serviceSnapshot(t, balanced)
	if err := RestoreService(before, &own); err != nil || own.Type != corev1.ServiceTypeLoadBalancer || own.ExternalName != "" {
		t.Errorf("%+v, %v", own, err)
	}
}

func TestServiceThatLeadsNowhere(t *testing.T) {
	for name, c := range map[string]struct {
		spec map[string]any
		want bool
	}{
		"selects":    {map[string]any{"selector": map[string]any{"app": "v1"}}, false},
		"by name":    {map[string]any{"type": "ExternalName"}, false},
		"by others":  {map[string]any{"type": "ClusterIP"}, true},
		"empty list": {map[string]any{"selector": map[string]any{}}, true},
	} {
		if got := LeadsNowhere(&unstructured.Unstructured{Object: map[string]any{"spec": c.spec}}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
