//go:build integration

package ways

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// nodeName is the one node; EndpointSlices leave pods without a node out.
const nodeName = "node"

// join makes the node. The API server taints each new one as not ready, which keeps the pods of DaemonSets away.
func join(ctx context.Context) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
	if err := world.admin.Create(ctx, node); err != nil {
		return err
	}
	node.Spec.Taints = nil
	return world.admin.Update(ctx, node)
}

// play takes the roles of kubelet and gateway, and lets the audience watch.
func play(ctx context.Context, scheme *runtime.Scheme) error {
	watched, err := cache.New(world.config, cache.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	var ip atomic.Int32
	// Each handler has a goroutine of its own: who watches holds nobody up.
	audience := func(o any) { world.look(ctx, o.(client.Object)) }
	for _, role := range []struct {
		object client.Object
		act    func(any)
	}{
		{&corev1.Pod{}, func(o any) { kubelet(ctx, o.(*corev1.Pod), &ip) }},
		{&gatewayv1.HTTPRoute{}, func(o any) { accept(ctx, o.(*gatewayv1.HTTPRoute)) }},
		{&v1beta1.Canary{}, func(o any) { world.note(o.(*v1beta1.Canary)) }},
		{&gatewayv1.HTTPRoute{}, audience},
		{&discoveryv1.EndpointSlice{}, audience},
		{&corev1.ConfigMap{}, audience},
		{&corev1.Secret{}, audience},
	} {
		informer, err := watched.GetInformer(ctx, role.object, cache.BlockUntilSynced(false))
		if err != nil {
			return err
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: role.act, UpdateFunc: func(_, o any) { role.act(o) }}); err != nil {
			return err
		}
	}
	go func() { _ = watched.Start(ctx) }()
	if !watched.WaitForCacheSync(ctx) {
		return fmt.Errorf("the cache of kubelet and gateway did not synchronise")
	}
	return nil
}

// kubelet runs pods: each is ready at once, and gone at once. What fails is tried again with the pod's next event.
func kubelet(ctx context.Context, pod *corev1.Pod, ip *atomic.Int32) {
	switch {
	case pod.DeletionTimestamp != nil:
		_ = world.admin.Delete(ctx, pod.DeepCopy(), client.GracePeriodSeconds(0))
	case pod.Spec.NodeName == "":
		_ = world.admin.SubResource("binding").Create(ctx, pod.DeepCopy(), &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: nodeName}})
	case pod.Status.PodIP == "":
		n := ip.Add(1)
		status := corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.0.%d.%d", n/250, n%250+1),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}},
		}
		status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
		raw, err := json.Marshal(map[string]any{"status": status})
		if err == nil {
			_ = world.admin.Status().Patch(ctx, pod.DeepCopy(), client.RawPatch(types.MergePatchType, raw))
		}
	}
}

// accept is the gateway's answer to a route.
func accept(ctx context.Context, route *gatewayv1.HTTPRoute) {
	if world.isMute(route.Namespace) {
		return
	}
	if len(route.Status.Parents) > 0 && route.Status.Parents[0].Conditions[0].ObservedGeneration == route.Generation {
		return
	}
	next := route.DeepCopy()
	next.Status.Parents = nil
	for _, parent := range route.Spec.ParentRefs {
		status := gatewayv1.RouteParentStatus{ParentRef: parent, ControllerName: "example.com/gateway"}
		for _, kind := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
			status.Conditions = append(status.Conditions, metav1.Condition{
				Type: string(kind), Status: metav1.ConditionTrue, Reason: "Accepted", ObservedGeneration: route.Generation, LastTransitionTime: metav1.Now(),
			})
		}
		next.Status.Parents = append(next.Status.Parents, status)
	}
	_ = world.admin.Status().Update(ctx, next) // after a conflict the newer version comes
}

// gates answers the hooks of each namespace. A closed gate keeps a rollout at its last weight, a waiting one before it begins; a failing check lets it
// fail. Where they are mute the gateway does not answer for a route.
type gates struct {
	server                         *httptest.Server
	mu                             sync.Mutex
	closed, failing, waiting, mute map[string]bool
}

func (g *gates) open() (end func()) {
	g.closed, g.failing, g.waiting, g.mute = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var asked struct {
			Namespace string `json:"namespace"`
		}
		err := json.NewDecoder(http.MaxBytesReader(w, req.Body, 1<<20)).Decode(&asked)
		if err != nil || g.refuses(asked.Namespace, req.URL.Path) {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	return g.server.Close
}

func (g *gates) refuses(namespace, path string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch path {
	case "/check":
		return g.failing[namespace]
	case "/begin":
		return g.waiting[namespace]
	}
	return g.closed[namespace]
}

// wait has the rollouts of a namespace wait before they begin.
func (g *gates) wait(namespace string, waiting bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[namespace] = waiting
}

func (g *gates) set(namespace string, closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed[namespace] = closed
}

func (g *gates) fail(namespace string, failing bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failing[namespace] = failing
}

func (g *gates) isMute(namespace string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mute[namespace]
}

// silence keeps the gateway from answering for a namespace, and so its users where they are in Sluice's eyes. Afterwards it answers for what there is.
func (g *gates) silence(ctx context.Context, namespace string, mute bool) error {
	g.mu.Lock()
	g.mute[namespace] = mute
	g.mu.Unlock()
	if mute {
		return nil
	}
	var route gatewayv1.HTTPRoute
	if err := world.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "web"}, &route); err != nil {
		return err
	}
	accept(ctx, &route)
	return nil
}
