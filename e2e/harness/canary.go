package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// reportTimeout bounds gathering what an error tells, after the time for the
// thing itself has run out.
const reportTimeout = 20 * time.Second

const (
	reportLogLines = "40"
	reportEvents   = 25
)

// Canary reads a Canary.
func (h *Harness) Canary(ctx context.Context, key types.NamespacedName) (*v1beta1.Canary, error) {
	canary := &v1beta1.Canary{}
	if err := h.Client.Get(ctx, key, canary); err != nil {
		return nil, fmt.Errorf("read Canary %s: %w", key, err)
	}
	return canary, nil
}

// WaitCanary waits until a Canary is as wanted; what says in words what that
// is. The error tells how the Canary is instead, with events, pods and the
// controller's log.
func (h *Harness) WaitCanary(ctx context.Context, key types.NamespacedName, what string, timeout time.Duration,
	done func(*v1beta1.Canary) bool,
) (*v1beta1.Canary, error) {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	moment, err := h.Follow(waiting, key).Wait(waiting, func(m Moment) bool { return m.Canary != nil && done(m.Canary) })
	if err == nil {
		return moment.Canary, nil
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("not within %s", timeout)
	}
	return nil, fmt.Errorf("wait until Canary %s %s: %w\n%s", key, what, err, h.Report(ctx, key))
}

// WaitPhase waits until a Canary is in one of the phases, for its current
// generation.
func (h *Harness) WaitPhase(ctx context.Context, key types.NamespacedName, timeout time.Duration, phases ...v1beta1.CanaryPhase) (*v1beta1.Canary, error) {
	words := make([]string, len(phases))
	for i, p := range phases {
		words[i] = string(p)
	}
	return h.WaitCanary(ctx, key, "is "+strings.Join(words, " or "), timeout, func(c *v1beta1.Canary) bool {
		return c.Status.ObservedGeneration == c.Generation && slices.Contains(phases, c.Status.Phase)
	})
}

// Report describes for a person how a Canary and what belongs to it are: its
// status, events and pods of its namespace, and the end of the controller's
// log. It never fails; what cannot be read is said so.
func (h *Harness) Report(ctx context.Context, key types.NamespacedName) string {
	if errors.Is(ctx.Err(), context.Canceled) {
		return "(interrupted)"
	}
	// The caller's time may have run out: that is when a report is wanted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	var out strings.Builder
	h.section(ctx, &out, "Canary", "-n", key.Namespace, "get", "canary", key.Name, "-o", "yaml", "--show-managed-fields=false")
	h.section(ctx, &out, "routes", "-n", key.Namespace, "get", "httproutes", "-o",
		"custom-columns=NAME:.metadata.name,BACKENDS:.spec.rules[*].backendRefs[*].name,WEIGHTS:.spec.rules[*].backendRefs[*].weight")
	out.WriteString(h.namespaceReport(ctx, key.Namespace))
	h.section(ctx, &out, "log of Sluice", "-n", SluiceNamespace, "logs", "--selector=app.kubernetes.io/component=controller",
		"--prefix", "--tail="+reportLogLines)
	return out.String()
}

func (h *Harness) namespaceReport(ctx context.Context, namespace string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	var out strings.Builder
	h.section(ctx, &out, "workloads", "-n", namespace, "get", "deployments,daemonsets,replicasets,pods", "-o", "wide")
	events, err := h.Cluster.Kubectl(ctx, "", "-n", namespace, "get", "events", "--sort-by=.lastTimestamp")
	lines := strings.Split(strings.TrimSpace(events), "\n")
	if err != nil {
		lines = []string{err.Error()}
	}
	write(&out, "last events", strings.Join(lines[max(0, len(lines)-reportEvents):], "\n"))
	return out.String()
}

func (h *Harness) section(ctx context.Context, out *strings.Builder, title string, args ...string) {
	text, err := h.Cluster.Kubectl(ctx, "", args...)
	if err != nil {
		text += err.Error()
	}
	write(out, title, text)
}

func write(out *strings.Builder, title, text string) {
	fmt.Fprintf(out, "--- %s\n%s\n", title, strings.TrimSpace(text))
}
