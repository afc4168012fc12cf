package changes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Defaults of Config.
const (
	DefaultMaxInFlight = 16
	DefaultTimeout     = 20 * time.Second
	DefaultMaxChanges  = 100_000
)

// maxBody bounds how much of an answer is read.
const maxBody = 1 << 20

// Change is a patch that is sent again and again.
type Change struct {
	// Name in the recording.
	Name string
	// Path of the object at the API server, with a query if any, such as
	// "/apis/apps/v1/namespaces/test/deployments/app?dryRun=All".
	Path string
	// Patch returns the merge patch of the n-th request, from 1. It is called
	// from one goroutine.
	Patch func(n int) string
	// Rate in requests per second.
	Rate float64
	// MaxInFlight bounds requests under way; one that would exceed it is not
	// sent but counted as skipped. So a cluster that manages less than the rates
	// is not buried. 0 means DefaultMaxInFlight.
	MaxInFlight int
}

// Config says what changes to send.
type Config struct {
	// Server is the API server; its limits on rates do not count. Required.
	Server *rest.Config
	// Changes are sent side by side.
	Changes []Change
	// Gate begins each warning by which the gate shows that it was asked.
	Gate string
	// Timeout of a request. It has to be longer than what the API server grants
	// its webhooks.
	Timeout time.Duration
	// MaxChanges ends each of the changes by itself.
	MaxChanges int
}

// Generator is changes under way.
type Generator struct {
	config   Config
	base     string
	client   *http.Client
	recorder recorder
	sending  sync.WaitGroup
	stop     context.CancelFunc
}

// Start begins to send. It goes on until Stop, the end of ctx, or the bounds
// of the configuration.
func Start(ctx context.Context, config Config) (*Generator, error) {
	if config.Server == nil || config.Gate == "" || len(config.Changes) == 0 {
		return nil, errors.New("changes: Server, Gate and Changes have to be set")
	}
	for _, c := range config.Changes {
		if c.Name == "" || c.Path == "" || c.Patch == nil || c.Rate <= 0 {
			return nil, fmt.Errorf("changes: %q: Name, Path and Patch have to be set, and Rate %v has to be positive", c.Name, c.Rate)
		}
	}
	config.MaxChanges = or(config.MaxChanges, DefaultMaxChanges)
	config.Timeout = or(config.Timeout, DefaultTimeout)
	transport, err := rest.TransportFor(config.Server)
	if err != nil {
		return nil, fmt.Errorf("changes: connect to the API server: %w", err)
	}
	g := &Generator{
		config: config,
		base:   strings.TrimSuffix(config.Server.Host, "/"),
		client: &http.Client{Transport: transport, Timeout: config.Timeout},
	}
	ctx, g.stop = context.WithCancel(ctx)
	for _, c := range config.Changes {
		g.sending.Go(func() { g.run(ctx, c) })
	}
	return g, nil
}

func or[T int | time.Duration](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}

// Recording is what was recorded so far. It may be taken at any time.
func (g *Generator) Recording() Recording { return g.recorder.snapshot() }

// Stop ends the changes, waits for those under way and returns all that was
// recorded. Calling it again is harmless.
func (g *Generator) Stop() Recording {
	g.stop()
	g.sending.Wait()
	return g.Recording()
}

// run starts one request at each beat, and makes up for late beats: what the
// gate is to bear is the rate.
func (g *Generator) run(ctx context.Context, c Change) {
	var underWay sync.WaitGroup
	defer underWay.Wait()
	slots := make(chan struct{}, or(c.MaxInFlight, DefaultMaxInFlight))
	start := time.Now()
	for n := 1; n <= g.config.MaxChanges; n++ {
		due := start.Add(time.Duration(float64(n) / c.Rate * float64(time.Second)))
		timer := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		select {
		case slots <- struct{}{}:
			patch := c.Patch(n)
			underWay.Go(func() {
				defer func() { <-slots }()
				g.one(ctx, c, patch)
			})
		default:
			g.recorder.skip()
		}
	}
}

// one sends a request and records what came of it. It is not bound to the
// context that ends the changes: a request that was sent is waited for.
func (g *Generator) one(ctx context.Context, c Change, patch string) {
	answer := Answer{Change: c.Name, Start: time.Now()}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.config.Timeout)
	defer cancel()
	err := g.send(ctx, c.Path, patch, &answer)
	answer.Latency = time.Since(answer.Start)
	if err != nil {
		answer.Problem = err.Error()
	}
	g.recorder.add(answer)
}

func (g *Generator) send(ctx context.Context, path, patch string, answer *Answer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, g.base+path, strings.NewReader(patch))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/merge-patch+json")
	request.Header.Set("Accept", "application/json")
	response, err := g.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer.Status = response.StatusCode
	answer.Gated = warned(response.Header, g.config.Gate)
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return err
	}
	if answer.Status >= http.StatusBadRequest {
		return errors.New(message(body))
	}
	return nil
}

// warned tells whether one of the warnings begins as wanted. A header reads
// like: 299 - "text".
func warned(header http.Header, prefix string) bool {
	for _, value := range header.Values("Warning") {
		if _, text, found := strings.Cut(value, `"`); found && strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

// message is the text of a refusal.
func message(body []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &status); err == nil && status.Message != "" {
		return status.Message
	}
	return string(bytes.TrimSpace(body))
}
