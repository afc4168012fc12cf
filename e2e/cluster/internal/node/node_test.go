package node

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/inside"
)

func TestQualify(t *testing.T) {
	for address, want := range map[string]string{
		"10.96.0.1:443":                      "10.96.0.1:443",
		"[::1]:80":                           "[::1]:80",
		"localhost:80":                       "localhost:80",
		"podinfo.test:80":                    "podinfo.test.svc.cluster.local.:80",
		"podinfo.test.svc:80":                "podinfo.test.svc.cluster.local.:80",
		"podinfo.test.svc.cluster.local:80":  "podinfo.test.svc.cluster.local.:80",
		"podinfo.test.svc.cluster.local.:80": "podinfo.test.svc.cluster.local.:80",
		"a.b.example.com:80":                 "a.b.example.com.:80",
		"no port":                            "no port",
	} {
		if got := qualify(address); got != want {
			t.Errorf("qualify(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestReadLineStopsAtTheLine(t *testing.T) {
	r := strings.NewReader("tcp a:1\nrest")
	line, err := readLine(r)
	if err != nil || line != "tcp a:1" {
		t.Errorf("line %q, %v", line, err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "rest" {
		t.Errorf("what follows was touched: %q is left", rest)
	}
	if _, err := readLine(strings.NewReader(strings.Repeat("x", 2*maxRequest))); err == nil {
		t.Error("an endless line was accepted")
	}
}

// echo answers with what it is sent, once the client has sent everything.
func echo(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			data, _ := io.ReadAll(conn)
			_, _ = conn.Write(data)
			conn.Close()
		}
	}()
	return listener
}

func TestDialerCarriesBothDirections(t *testing.T) {
	target := echo(t)
	socket := filepath.Join(t.TempDir(), "dial.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go serveDialer(t.Context(), listener)

	conn, err := inside.Dial(t.Context(), socket, "tcp", target.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	// The end of what the client sends must arrive, or the echo never answers.
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDialerReportsWhyNot(t *testing.T) {
	target := echo(t)
	address := target.Addr().String()
	target.Close()
	socket := filepath.Join(t.TempDir(), "dial.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go serveDialer(t.Context(), listener)
	_, err = inside.Dial(t.Context(), socket, "tcp", address)
	if err == nil || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), address) {
		t.Errorf("error %v names neither address nor reason", err)
	}
}

func TestCheckPath(t *testing.T) {
	for path, ok := range map[string]bool{
		"/root/.cache/sluice": true, "/var/library/x": true, "/run": false, "/var/lib/jenkins/x": false, "/var/log/x": false,
	} {
		if err := CheckPath(path); (err == nil) != ok {
			t.Errorf("CheckPath(%s) = %v", path, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	if got := describe(syscall.WaitStatus(3 << 8)); got != "status 3" {
		t.Errorf("exit with 3 reads %q", got)
	}
	if got := describe(syscall.WaitStatus(syscall.SIGKILL)); got != "signal killed" {
		t.Errorf("a kill reads %q", got)
	}
}
