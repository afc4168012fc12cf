package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
)

const (
	dialTimeout    = 10 * time.Second
	requestTimeout = 5 * time.Second
	maxRequest     = 512
)

// forward copies every connection that the listener accepts to and from an
// address inside the cluster.
func forward(ctx context.Context, listener net.Listener, address string) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	for {
		outer, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			inner, err := dialer.DialContext(ctx, "tcp", address)
			if err != nil {
				outer.Close()
				return
			}
			Pipe(outer, inner)
		}()
	}
}

// serveDialer lets processes outside of the network namespace open
// connections inside. A client sends one line, "network address"; the answer
// is the line "ok", after which the connection carries the bytes, or one line
// with the reason why not.
func serveDialer(ctx context.Context, listener net.Listener) {
	dialer := &net.Dialer{Timeout: dialTimeout, Resolver: clusterResolver()}
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go serveDial(ctx, dialer, client)
	}
}

func serveDial(ctx context.Context, dialer *net.Dialer, client net.Conn) {
	_ = client.SetReadDeadline(time.Now().Add(requestTimeout))
	line, err := readLine(client)
	if err != nil {
		client.Close()
		return
	}
	_ = client.SetReadDeadline(time.Time{})
	network, address, _ := strings.Cut(line, " ")
	inner, err := dialer.DialContext(ctx, network, qualify(address))
	if err != nil {
		fmt.Fprintf(client, "%s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		client.Close()
		return
	}
	if _, err := io.WriteString(client, "ok\n"); err != nil {
		client.Close()
		inner.Close()
		return
	}
	Pipe(client, inner)
}

// readLine reads one line byte by byte: what follows it is not ours to buffer.
func readLine(r io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxRequest {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
	return "", bufio.ErrTooLong
}

// qualify turns the short names of services, svc.namespace, into full ones;
// addresses and full names stay.
func qualify(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil || host == "localhost" {
		return address
	}
	host = strings.TrimSuffix(host, ".")
	switch {
	case strings.HasSuffix(host, "."+state.ClusterDomain):
	case strings.HasSuffix(host, ".svc"):
		host += "." + state.ClusterDomain
	case strings.Count(host, ".") == 1:
		host += ".svc." + state.ClusterDomain
	}
	return net.JoinHostPort(host+".", port)
}

// clusterResolver asks the cluster's DNS, whatever the machine's own is.
func clusterResolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, net.JoinHostPort(state.DNSServiceIP, "53"))
		},
	}
}

// Pipe copies between two connections until both directions end, and closes
// them. The end of one direction is passed on where the connection can.
func Pipe(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		copyOneWay(a, b)
		close(done)
	}()
	copyOneWay(b, a)
	<-done
	a.Close()
	b.Close()
}

func copyOneWay(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	to.Close()
	from.Close()
}
