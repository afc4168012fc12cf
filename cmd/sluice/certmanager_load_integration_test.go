//go:build integration

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/webhook"
)

// mistaken is a Canary that only the webhook refuses: the schema knows nothing of the functions in queries.
func mistaken(namespace string) *v1beta1.Canary {
	most := 1.0
	return &v1beta1.Canary{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mistaken"},
		Spec: v1beta1.CanarySpec{
			Provider:  "kubernetes",
			TargetRef: v1beta1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "nothing"},
			Service:   v1beta1.CanaryService{Port: 80},
			Analysis: v1beta1.CanaryAnalysis{
				Interval: "10s", Threshold: 1, Iterations: 2,
				Metrics: []v1beta1.CanaryMetric{{Name: "mine", Query: "{{ nmespace }}", Threshold: &most}},
			},
		},
	}
}

// refused tells whether the webhook has refused the mistaken Canary.
func refused(err error) error {
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "canaries.sluice.dev") || !strings.Contains(err.Error(), "nmespace") {
		return fmt.Errorf("the answer to a mistaken Canary is not a refusal by the webhook: %w", cmp.Or(err, errors.New("created")))
	}
	return nil
}

// loadRate is how many admissions are asked for in a second, loadParallel how many at the same time at most.
const (
	loadRate     = 80
	loadParallel = 32
)

// load asks for admissions under dry run, and opens connections as API servers do, until it is stopped.
type load struct {
	canaries, changes, handshakes atomic.Int64

	mu       sync.Mutex
	problems []error
	cancel   context.CancelFunc
	all      sync.WaitGroup
}

func (l *load) note(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, err)
}

// answered is how many admissions have been answered so far.
func (l *load) answered() int64 { return l.canaries.Load() + l.changes.Load() }

// press starts the load. Half of the requests are mistaken Canaries, half are changes of the tracked Deployment, each another one.
func (w *certManaged) press(tracked *appsv1.Deployment) *load {
	w.t.Helper()
	l := &load{}
	ctx, cancel := context.WithCancel(w.t.Context())
	l.cancel = cancel
	l.all.Go(func() { w.ask(ctx, l, tracked) })
	l.all.Go(func() { w.connect(ctx, l) })
	w.t.Cleanup(l.stop)
	return l
}

// stop waits until everything that was asked for is answered.
func (l *load) stop() {
	l.cancel()
	l.all.Wait()
}

func (w *certManaged) ask(ctx context.Context, l *load, tracked *appsv1.Deployment) {
	ticker := time.NewTicker(time.Second / loadRate)
	defer ticker.Stop()
	var asked sync.WaitGroup
	defer asked.Wait()
	free := make(chan struct{}, loadParallel)
	// A request that was begun is finished, or nobody knew whether to count it.
	whole := context.WithoutCancel(ctx)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		free <- struct{}{}
		asked.Go(func() {
			defer func() { <-free }()
			each, cancel := context.WithTimeout(whole, patience)
			defer cancel()
			if n%2 == 0 {
				l.note(refused(w.c.Create(each, mistaken(tracked.Namespace), client.DryRunAll)))
				l.canaries.Add(1)
				return
			}
			patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"change":"%d"}}}}}`, n)
			l.note(w.c.Patch(each, tracked.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll))
			l.changes.Add(1)
		})
	}
}

// connect opens one connection after the other to each replica, trusting what the webhooks trust at that moment: API servers keep theirs open
// for long, and would not notice.
func (w *certManaged) connect(ctx context.Context, l *load) {
	whole := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		l.note(w.connectToAll(whole, l))
	}
}

func (w *certManaged) connectToAll(ctx context.Context, l *load) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all, err := bundles(ctx, w.c)
	if err != nil {
		return err
	}
	var failed []error
	for _, p := range w.replicas {
		_, err := handshake(ctx, w.addressOf(p), all[int(l.handshakes.Add(1))%len(all)])
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// counts are what API server and replicas have counted since they run.
type counts struct {
	failedOpen, rejected       float64 // by the API server
	canaries, changes, unclear float64 // by Sluice, under dry run; unclear ones were allowed because of an error
}

func (w *certManaged) counts() counts {
	w.t.Helper()
	server := apiServerMetrics(w.t)
	now := counts{
		failedOpen: sum(server, "apiserver_admission_webhook_fail_open_count", `sluice.dev"`),
		rejected:   sum(server, "apiserver_admission_webhook_request_total", `name="canaries.sluice.dev"`, `rejected="true"`),
	}
	for _, p := range w.replicas {
		own, err := p.get(w.t.Context(), p.port, "/metrics")
		if err != nil {
			w.t.Fatal(err)
		}
		const total = "sluice_admission_requests_total"
		now.canaries += sum(own, total, `path="`+webhook.PathCanaries+`"`, `dry_run="true"`, `outcome="denied"`)
		now.changes += sum(own, total, `path="`+webhook.PathWorkloads+`"`, `dry_run="true"`)
		now.unclear += sum(own, total, `outcome="failed"`) + sum(own, total, `outcome="panicked"`)
	}
	return now
}

// apiServerMetrics are those of the API server, as text.
func apiServerMetrics(t *testing.T) string {
	t.Helper()
	reader, err := rest.HTTPClientFor(apiServer)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(apiServer.Host, "/")+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := reader.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return string(body)
}

// sum adds up the series of a metric that have all the labels.
func sum(text, name string, labels ...string) float64 {
	var total float64
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, name+"{")
		if !found {
			continue
		}
		for _, label := range labels {
			found = found && strings.Contains(rest, label)
		}
		if !found {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, "}")+1:]), 64)
		if err == nil {
			total += value
		}
	}
	return total
}
