//go:build integration

package reconciler

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-dev/sluice/api/testserver"
	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

const (
	// together is how many stages are played side by side: they wait most of the time.
	together = "6"
	// round is how often the controllers of Kubernetes that are played look at the world.
	round = 50 * time.Millisecond
)

// patience bounds how long a state may take to come about.
const patience = 4 * time.Minute

// shared is the API server that all tests use; each has a namespace of its own.
var shared struct {
	config *rest.Config
	scheme *runtime.Scheme
	admin  client.Client
}

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", together); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctrl.SetLogger(zap.New(zap.UseDevMode(true), zap.WriteTo(os.Stderr)))
	os.Exit(testserver.Run(testserver.Options{CRDs: []string{"../manifests/base/crds"}}, func(s *testserver.Server) int {
		var err error
		if shared.admin, err = s.Client(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		shared.config, shared.scheme = s.Config, s.Scheme
		return m.Run()
	}))
}

// stage is a namespace with an application, the controllers of Kubernetes that concern it, and Sluice, which can be stopped and started.
type stage struct {
	*testing.T
	ns       string
	nodes    nodes
	requests atomic.Int64
	// open are those requests that are not answered yet.
	open atomic.Int64
	// stuck keeps the first new pod of the primary from getting ready, and so its other pods from being replaced.
	stuck atomic.Bool
	// running are the hashes of the pods of Deployments, by UID; one that is paused keeps its own.
	running sync.Map
	router  *fakeRouter
	checks  *fakeChecker
	alerts  *fakeAlerter
	sluice  *Reconciler
	metrics *prometheus.Registry
	// resolve gives the image ID that the nodes resolve the image of a Deployment's template to; nil makes no pods at all.
	resolve func(deployment, image string) string
	stop    func()
}

func newStage(t *testing.T) *stage {
	t.Helper()
	return newStageOf(t, nil)
}

func newStageOf(t *testing.T, resolve func(deployment, image string) string) *stage {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rollout-"}}
	if err := shared.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, ns: ns.Name, router: &fakeRouter{routes: map[string]core.Route{}}, checks: &fakeChecker{open: true}, alerts: &fakeAlerter{}, resolve: resolve}
	go wait.UntilWithContext(t.Context(), s.kubernetes, round)
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// RoundTrip counts Sluice's requests, those that keep watches open aside.
type counting struct {
	next    http.RoundTripper
	n, open *atomic.Int64
}

func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Query().Get("watch") == "" {
		c.open.Add(1)
		defer c.open.Add(-1)
		c.n.Add(1)
	}
	return c.next.RoundTrip(req)
}

// start runs a new Sluice that knows nothing of an earlier one.
func (s *stage) start() {
	s.Helper()
	cfg := rest.CopyConfig(shared.config)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{next, &s.requests, &s.open} })
	skip := true
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: shared.scheme, Cache: CacheOptions(s.ns), Client: ClientOptions(),
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.metrics = prometheus.NewRegistry()
	metrics, err := NewMetrics(s.metrics, mgr.GetClient(), "test", "kubernetes")
	if err != nil {
		s.Fatal(err)
	}
	s.sluice = New(Options{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Router: s.router, Checker: s.checks, Alerter: s.alerts,
		Clock: clock.RealClock{}, Recorder: mgr.GetEventRecorder("sluice"), Metrics: metrics,
		VerbKey: func(context.Context) ([]byte, error) { return verbKey, nil },
	})
	s.router.notify, s.checks.notify = s.sluice.Notify, s.sluice.Notify
	if err := s.sluice.SetupWithManager(s.Context(), mgr, 2); err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := mgr.Start(ctx); err != nil {
			s.Error(err)
		}
	}()
	s.stop = func() {
		cancel()
		<-done
	}
}

// until polls for a state of the world.
func (s *stage) until(what string, holds func() bool) {
	s.Helper()
	err := wait.PollUntilContextTimeout(s.Context(), 20*time.Millisecond, patience, true, func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		st, _ := json.MarshalIndent(s.canary().Status, "", " ")
		s.Fatalf("it does not come about that %s; status: %s", what, st)
	}
}

func (s *stage) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.ns, Name: name}
}

// get reads an object; false when it does not exist.
func (s *stage) get(name string, o client.Object) bool {
	s.Helper()
	err := shared.admin.Get(s.Context(), s.key(name), o)
	if err != nil && !apierrors.IsNotFound(err) {
		s.Fatal(err)
	}
	return err == nil
}

func (s *stage) canary() *v1beta1.Canary {
	c := &v1beta1.Canary{}
	s.get("web", c)
	return c
}

func (s *stage) deployment(name string) *appsv1.Deployment {
	d := &appsv1.Deployment{}
	s.get(name, d)
	return d
}

func (s *stage) service(name string) *corev1.Service {
	o := &corev1.Service{}
	s.get(name, o)
	return o
}

func (s *stage) create(o client.Object) {
	s.Helper()
	o.SetNamespace(s.ns)
	if err := shared.admin.Create(s.Context(), o); err != nil {
		s.Fatal(err)
	}
}

// change updates an object, as often as somebody else comes first.
func change[T client.Object](s *stage, name string, o T, edit func(T)) {
	s.Helper()
	s.until("the update of "+name+" succeeds", func() bool {
		if !s.get(name, o) {
			s.Fatalf("%s does not exist", name)
		}
		edit(o)
		err := shared.admin.Update(s.Context(), o)
		if err != nil && !apierrors.IsConflict(err) {
			s.Fatal(err)
		}
		return err == nil
	})
}

func (s *stage) setImage(image string) {
	s.Helper()
	change(s, "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = image })
}

func (s *stage) image(deployment string) string {
	c := s.deployment(deployment).Spec.Template.Spec.Containers
	if len(c) == 0 {
		return ""
	}
	return c[0].Image
}

// snapshots reads what is stored.
func (s *stage) snapshots() []revision.Stored {
	s.Helper()
	list := &appsv1.ControllerRevisionList{}
	if err := shared.admin.List(s.Context(), list, client.InNamespace(s.ns), client.HasLabels{v1beta1.LabelSnapshot}); err != nil {
		s.Fatal(err)
	}
	var out []revision.Stored
	for i := range list.Items {
		st, err := revision.Decode(&list.Items[i])
		if err != nil {
			s.Fatal(err)
		}
		out = append(out, st)
	}
	return out
}

// application creates a Deployment with a ConfigMap and a Secret, and its Canary.
func (s *stage) application() {
	s.Helper()
	s.applicationOf(nil)
}

// applicationOf is the same with a Canary that says how its primary lives.
func (s *stage) applicationOf(primary *v1beta1.PrimarySpec) {
	s.Helper()
	s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"colour": "blue"}})
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token"}, Data: map[string][]byte{"t": []byte("1")}})
	l := map[string]string{"app": "web"}
	s.create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)),
			Selector: &metav1.LabelSelector{MatchLabels: l},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: l},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "main", Image: "web:1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
					EnvFrom: []corev1.EnvFromSource{
						{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}},
						{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "token"}}},
					},
				}}},
			},
		},
	})
	s.create(&v1beta1.Canary{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: v1beta1.CanarySpec{
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			Service:   v1beta1.CanaryService{Port: 80, TargetPort: intstr.FromInt32(8080)},
			Primary:   primary,
			Analysis: v1beta1.CanaryAnalysis{
				Interval: "1s", Threshold: 2, StepWeight: 50,
				Webhooks: []v1beta1.CanaryWebhook{{Name: "load", URL: "http://load.test/"}},
			},
		},
	})
}

// settled waits until the Canary is in a phase and Sluice has nothing left to do.
func (s *stage) settled(phase v1beta1.CanaryPhase) {
	s.Helper()
	s.until(fmt.Sprintf("the phase is %s and the Canary ready", phase), func() bool {
		st := s.canary().Status
		ready := st.Condition(v1beta1.ConditionReady)
		return st.Phase == phase && ready != nil && ready.Status == metav1.ConditionTrue
	})
	s.until("Sluice is quiet", func() bool {
		before := s.requests.Load()
		return wait.PollUntilContextTimeout(s.Context(), 50*time.Millisecond, time.Second, true, func(context.Context) (bool, error) {
			return s.requests.Load() != before || s.open.Load() > 0, nil
		}) != nil
	})
}

// followed waits until the controllers of Kubernetes that are played have done what Deployments and DaemonSets ask for.
func (s *stage) followed() {
	s.Helper()
	s.until("Kubernetes has followed", func() bool {
		deployments, daemonSets := &appsv1.DeploymentList{}, &appsv1.DaemonSetList{}
		for _, list := range []client.ObjectList{deployments, daemonSets} {
			if err := shared.admin.List(s.Context(), list, client.InNamespace(s.ns)); err != nil {
				s.Fatal(err)
			}
		}
		for _, d := range deployments.Items {
			if d.Status.ObservedGeneration != d.Generation || d.Status.Replicas != *d.Spec.Replicas {
				return false
			}
		}
		for _, d := range daemonSets.Items {
			if _, idle := d.Spec.Template.Spec.NodeSelector[revision.ScaleToZeroKey]; d.Status.ObservedGeneration != d.Generation || (d.Status.DesiredNumberScheduled == 0) != idle {
				return false
			}
		}
		return true
	})
}

// objectsOf returns the items of a list.
func objectsOf(s *stage, list client.ObjectList) []client.Object {
	s.Helper()
	items, err := meta.ExtractList(list)
	if err != nil {
		s.Fatal(err)
	}
	var out []client.Object
	for _, i := range items {
		out = append(out, i.(client.Object))
	}
	return out
}
