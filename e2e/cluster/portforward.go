package cluster

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// podPort is one port of one pod.
type podPort struct {
	namespace, name string
	port            int
}

// resolve finds a ready pod behind an address: by a service's name, or by the
// address of a service or pod. Among several pods it picks one at random, as
// the service would.
func (e *external) resolve(ctx context.Context, address string) (podPort, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return podPort{}, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return podPort{}, fmt.Errorf("port %q is not a number", portText)
	}
	if net.ParseIP(host) != nil {
		return e.byAddress(ctx, host, port)
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, "."), "."+state.ClusterDomain)
	host = strings.TrimSuffix(host, ".svc")
	name, namespace, ok := strings.Cut(host, ".")
	if !ok || strings.Contains(namespace, ".") {
		return podPort{}, fmt.Errorf("host %q is neither an address nor service.namespace", host)
	}
	return e.byService(ctx, namespace, name, port)
}

func (e *external) byAddress(ctx context.Context, ip string, port int) (podPort, error) {
	pods, err := e.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "status.podIP=" + ip})
	if err != nil {
		return podPort{}, fmt.Errorf("find the pod: %w", err)
	}
	if len(pods.Items) > 0 {
		return podPort{pods.Items[0].Namespace, pods.Items[0].Name, port}, nil
	}
	services, err := e.client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return podPort{}, fmt.Errorf("find the service: %w", err)
	}
	for _, s := range services.Items {
		if s.Spec.ClusterIP == ip {
			return e.byService(ctx, s.Namespace, s.Name, port)
		}
	}
	return podPort{}, fmt.Errorf("no pod or service has the address %s", ip)
}

func (e *external) byService(ctx context.Context, namespace, name string, port int) (podPort, error) {
	service, err := e.client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return podPort{}, fmt.Errorf("find the service: %w", err)
	}
	portName, err := nameOfPort(service, port)
	if err != nil {
		return podPort{}, err
	}
	slices, err := e.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + name,
	})
	if err != nil {
		return podPort{}, fmt.Errorf("find the service's pods: %w", err)
	}
	var ready []podPort
	for _, slice := range slices.Items {
		for _, p := range slice.Ports {
			if p.Port == nil || p.Name == nil || *p.Name != portName {
				continue
			}
			ready = append(ready, readyPods(slice, int(*p.Port))...)
		}
	}
	if len(ready) == 0 {
		return podPort{}, fmt.Errorf("service %s/%s has no ready pod", namespace, name)
	}
	return ready[rand.IntN(len(ready))], nil
}

func nameOfPort(service *corev1.Service, port int) (string, error) {
	for _, p := range service.Spec.Ports {
		if int(p.Port) == port {
			return p.Name, nil
		}
	}
	return "", fmt.Errorf("service %s/%s has no port %d", service.Namespace, service.Name, port)
}

func readyPods(slice discoveryv1.EndpointSlice, port int) []podPort {
	var list []podPort
	for _, endpoint := range slice.Endpoints {
		isReady := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
		if isReady && endpoint.TargetRef != nil && endpoint.TargetRef.Kind == "Pod" {
			list = append(list, podPort{slice.Namespace, endpoint.TargetRef.Name, port})
		}
	}
	return list
}

// portForward opens one connection to a pod through the API server.
func (e *external) portForward(target podPort) (net.Conn, error) {
	transport, upgrader, err := spdy.RoundTripperFor(e.config)
	if err != nil {
		return nil, err
	}
	url := e.client.CoreV1().RESTClient().Post().Resource("pods").
		Namespace(target.namespace).Name(target.name).SubResource("portforward").URL()
	session, _, err := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url).
		Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, fmt.Errorf("forward to pod %s/%s: %w", target.namespace, target.name, err)
	}
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(target.port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	failures, err := session.CreateStream(headers)
	if err == nil {
		// Nothing is ever sent this way.
		_ = failures.Close()
		headers.Set(corev1.StreamType, corev1.StreamTypeData)
		var data httpstream.Stream
		if data, err = session.CreateStream(headers); err == nil {
			return newForwarded(session, data, failures, target), nil
		}
	}
	_ = session.Close()
	return nil, fmt.Errorf("forward to pod %s/%s: %w", target.namespace, target.name, err)
}

// newForwarded gives a stream the shape of a net.Conn. A pipe stands between,
// because streams know no deadlines.
func newForwarded(session httpstream.Connection, data, failures httpstream.Stream, target podPort) net.Conn {
	near, far := net.Pipe()
	go func() {
		_, _ = io.Copy(data, far)
		_ = data.Close()
	}()
	go func() {
		_, _ = io.Copy(far, data)
		far.Close()
		_ = session.Close()
	}()
	go func() {
		// The API server reports here that the pod refused or went away.
		if message, _ := io.ReadAll(io.LimitReader(failures, 4096)); len(message) > 0 {
			far.Close()
			_ = session.Close()
		}
	}()
	return &forwarded{Conn: near, session: session, remote: podAddr(target)}
}

type forwarded struct {
	net.Conn
	session httpstream.Connection
	remote  net.Addr
}

func (f *forwarded) RemoteAddr() net.Addr { return f.remote }

func (f *forwarded) Close() error {
	err := f.Conn.Close()
	_ = f.session.Close()
	return err
}

type podAddr podPort

func (podAddr) Network() string  { return "tcp" }
func (p podAddr) String() string { return fmt.Sprintf("%s.%s:%d", p.name, p.namespace, p.port) }
