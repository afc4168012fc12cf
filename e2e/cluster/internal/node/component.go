package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
)

// Component is one program to keep running.
type Component struct {
	// Name is also the name of its log: logs/<name>.log.
	Name string `json:"name"`
	// Argv is the program's absolute path and its arguments.
	Argv []string `json:"argv"`
	// Env is added to the environment.
	Env []string `json:"env,omitempty"`
	// After is a URL that must answer 200 before the component starts.
	After string `json:"after,omitempty"`
}

const (
	restartDelay = time.Second
	pollInterval = 50 * time.Millisecond
	probeTimeout = 2 * time.Second
)

// LoadComponents reads the list that the supervisor wrote.
func LoadComponents(path string) ([]Component, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the components: %w", err)
	}
	var list []Component
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read the components from %s: %w", path, err)
	}
	return list, nil
}

// reaper collects every child that ends: the components and whatever the
// containers' shims leave to the first process of the namespace.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
	wake    chan struct{}
}

func newReaper() *reaper {
	return &reaper{waiting: map[int]chan syscall.WaitStatus{}, wake: make(chan struct{}, 1)}
}

// start runs a program and returns a channel that tells how it ended. The
// lock keeps the collecting side from meeting a number that it cannot know yet.
func (r *reaper) start(argv []string, attr *syscall.ProcAttr) (<-chan syscall.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	done := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = done
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return done, nil
}

// collect waits for children for as long as the process lives.
func (r *reaper) collect() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			// No child at all: wait for the next start.
			<-r.wake
		default:
			r.mu.Lock()
			if done, ok := r.waiting[pid]; ok {
				done <- status
				delete(r.waiting, pid)
			}
			r.mu.Unlock()
		}
	}
}

// keep runs a component for ever.
func (r *reaper) keep(ctx context.Context, c Component, dir state.Dir, say func(string, ...any)) {
	if c.After != "" {
		if err := waitFor(ctx, c.After, dir.Path("pki", "ca.crt")); err != nil {
			say("%s is not started: %v", c.Name, err)
			return
		}
	}
	for ctx.Err() == nil {
		done, err := r.launch(c, dir.Logs())
		if err != nil {
			say("%v", err)
		} else {
			select {
			case status := <-done:
				say("%s ended with %s, starting it again", c.Name, describe(status))
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(restartDelay):
		case <-ctx.Done():
		}
	}
}

func (r *reaper) launch(c Component, logs string) (<-chan syscall.WaitStatus, error) {
	out, err := os.OpenFile(filepath.Join(logs, c.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", c.Name, err)
	}
	defer func() { _ = out.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	defer func() { _ = null.Close() }()
	return r.start(c.Argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(os.Environ(), c.Env...),
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "signal " + s.Signal().String()
	}
	return fmt.Sprintf("status %d", s.ExitStatus())
}

// waitFor polls a URL of this node until it answers 200. authority is the file
// with the certificate that https is trusted by.
func waitFor(ctx context.Context, url, authority string) error {
	bundle, err := os.ReadFile(authority)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", url, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	client := &http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
	}
	for !answers(ctx, client, url) {
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", url, ctx.Err())
		}
	}
	return nil
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
