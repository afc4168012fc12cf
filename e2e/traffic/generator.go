package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxBody bounds how much of an answer is read; what follows is dropped with
// the connection.
const maxBody = 64 << 10

// Defaults of Config.
const (
	DefaultRate        = 50
	DefaultFresh       = 0.2
	DefaultMaxInFlight = 64
	DefaultTimeout     = 10 * time.Second
	DefaultMaxDuration = 30 * time.Minute
	DefaultMaxRequests = 200_000
)

// Config says what traffic to send.
type Config struct {
	// Dial opens the connections; required.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// URL that users ask for, with the address of the entry point, such as
	// "http://traefik.traefik/"; required.
	URL string
	// Host is the Host header; empty means that of URL.
	Host string
	// Header is sent with each request.
	Header http.Header
	// Version tells from an answer which version gave it; "" if it does not
	// show. Required, and called from several goroutines.
	Version func(status int, header http.Header, body []byte) string

	// Rate in requests per second.
	Rate float64
	// Fresh is the share of requests, 0 to 1, that open a connection of their
	// own and close it; the others keep theirs. Negative means none.
	Fresh float64
	// MaxInFlight bounds requests under way; a request that would exceed it is
	// not sent but counted as skipped.
	MaxInFlight int
	// Timeout of a request.
	Timeout time.Duration
	// MaxDuration and MaxRequests end the traffic by themselves.
	MaxDuration time.Duration
	MaxRequests int
}

// withDefaults fills in what is zero and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if c.Dial == nil || c.URL == "" || c.Version == nil {
		return c, errors.New("traffic: Dial, URL and Version have to be set")
	}
	if c.Rate < 0 || c.Fresh > 1 {
		return c, fmt.Errorf("traffic: rate %v and share of fresh connections %v: use a positive rate and a share up to 1", c.Rate, c.Fresh)
	}
	c.Rate = or(c.Rate, DefaultRate)
	c.Fresh = or(c.Fresh, DefaultFresh)
	c.MaxInFlight = or(c.MaxInFlight, DefaultMaxInFlight)
	c.Timeout = or(c.Timeout, DefaultTimeout)
	c.MaxDuration = or(c.MaxDuration, DefaultMaxDuration)
	c.MaxRequests = or(c.MaxRequests, DefaultMaxRequests)
	return c, nil
}

func or[T int | float64 | time.Duration](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}

// Generator is traffic under way.
type Generator struct {
	config     Config
	kept       *http.Client
	fresh      *http.Client
	request    *http.Request
	recorder   recorder
	slots      chan struct{}
	underWay   sync.WaitGroup
	stop       context.CancelFunc
	stopped    chan struct{}
	transports []*http.Transport
}

// Start begins to send. It goes on until Stop, the end of ctx, or the bounds of
// the configuration.
func Start(ctx context.Context, config Config) (*Generator, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.URL, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("traffic: URL %q: %w", config.URL, err)
	}
	if request.URL.Scheme != "http" || request.URL.Host == "" {
		return nil, fmt.Errorf("traffic: URL %q: write it like http://gateway.namespace/", config.URL)
	}
	request.Host = config.Host
	maps.Copy(request.Header, config.Header)
	kept := &http.Transport{DialContext: config.Dial, MaxIdleConnsPerHost: config.MaxInFlight, IdleConnTimeout: time.Minute}
	fresh := &http.Transport{DialContext: config.Dial, DisableKeepAlives: true}
	g := &Generator{
		config:     config,
		kept:       client(kept, config.Timeout),
		fresh:      client(fresh, config.Timeout),
		request:    request,
		slots:      make(chan struct{}, config.MaxInFlight),
		stopped:    make(chan struct{}),
		transports: []*http.Transport{kept, fresh},
	}
	ctx, g.stop = context.WithTimeout(ctx, config.MaxDuration)
	go g.run(ctx)
	return g, nil
}

func client(transport *http.Transport, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: transport,
		Timeout:   timeout,
		// What a user is sent to is an answer of its own, not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Recording is what was recorded so far. It may be taken at any time.
func (g *Generator) Recording() Recording { return g.recorder.snapshot() }

// Stop ends the traffic, waits for the requests under way and returns all that
// was recorded. Calling it again is harmless.
func (g *Generator) Stop() Recording {
	g.stop()
	<-g.stopped
	return g.Recording()
}

// run starts one request at each beat. A late beat is not made up for, so that
// a busy machine sends less rather than in bursts.
func (g *Generator) run(ctx context.Context) {
	defer close(g.stopped)
	defer func() {
		g.underWay.Wait()
		for _, t := range g.transports {
			t.CloseIdleConnections()
		}
	}()
	beat := time.NewTicker(time.Duration(float64(time.Second) / g.config.Rate))
	defer beat.Stop()
	for range g.config.MaxRequests {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		select {
		case g.slots <- struct{}{}:
			g.underWay.Go(g.one)
		default:
			g.recorder.skip(time.Now())
		}
	}
}

// one sends a request and records what came of it. It is not bound to the
// context that ends the traffic: a request that was sent is waited for.
func (g *Generator) one() {
	defer func() { <-g.slots }()
	client, fresh := g.kept, rand.Float64() < g.config.Fresh
	if fresh {
		client = g.fresh
	}
	result := Result{Start: time.Now(), Fresh: fresh}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.request.Context()), g.config.Timeout)
	defer cancel()
	response, err := client.Do(g.request.Clone(ctx))
	if err == nil {
		var body []byte
		body, err = io.ReadAll(io.LimitReader(response.Body, maxBody))
		response.Body.Close()
		result.Status = response.StatusCode
		result.Version = g.config.Version(response.StatusCode, response.Header, body)
	}
	result.Latency = time.Since(result.Start)
	if err != nil {
		result.Err = err.Error()
	}
	g.recorder.add(result)
}
