package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/core/preview"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// previews answer dry runs with what the change would lead to. Somebody asks for that and waits, so configs are read from the API server.
type previews struct {
	snapshots snapshots
	// traffic tells what the provider of a Canary can do; nil foretells nothing.
	traffic func(*v1beta1.Canary) (core.Traffic, error)
	now     func() time.Time
}

// ofTarget foretells what an update of a target would lead to; false where there is nothing to foretell.
func (p previews) ofTarget(ctx context.Context, f Facts) ([]string, bool) {
	if f.Canary == nil || leaving(f.Canary) || f.Operation != admissionv1.Update || f.New == nil {
		return nil, false
	}
	return p.of(ctx, f.Canary, f.New, p.snapshots.lookup(ctx, f.Canary.Namespace), f.Hold)
}

// ofConfig foretells what a change of a config would lead to for each Canary that it concerns, in place of the warnings of a real one.
func (p previews) ofConfig(ctx context.Context, f ConfigFacts) ([]string, bool) {
	if f.New == nil {
		return nil, false
	}
	var lines []string
	for _, u := range f.staying() {
		target, err := liveTarget(ctx, p.snapshots.live, u.Canary)
		if err != nil || target == nil {
			return nil, false
		}
		others := p.snapshots.lookup(ctx, u.Canary.Namespace)
		of, foretold := p.of(ctx, u.Canary, target, func(r revision.ConfigRef) (*revision.Content, error) {
			if r.Key() == f.New.Content.Ref().Key() {
				return &f.New.Content, nil
			}
			return others(r)
		}, false)
		if !foretold {
			return nil, false
		}
		if u.Fence && f.contentChanged() {
			lines = append(lines, fenceWarning(u.Canary))
		}
		lines = append(lines, of...)
	}
	return lines, len(lines) > 0
}

// of foretells what follows for a Canary from a target as it would be.
func (p previews) of(ctx context.Context, c *v1beta1.Canary, target *unstructured.Unstructured, lookup revision.Lookup, held bool) ([]string, bool) {
	if p.traffic == nil || ctx.Err() != nil {
		return nil, false
	}
	traffic, err := p.traffic(c)
	if err != nil {
		return nil, false
	}
	if p.snapshots.ignoreConfigs {
		lookup = nil
	}
	taken, _, err := revision.Take(target, lookup)
	if missing, is := errors.AsType[*revision.MissingConfigError](err); is {
		return []string{fmt.Sprintf(warningPrefix+"this change starts no rollout of %s before what it references is there: %v", c.Spec.TargetRef.Name, missing)}, true
	}
	if err != nil {
		return nil, false
	}
	digest, err := taken.Digest()
	if err != nil {
		return nil, false
	}
	in := preview.Input{Now: p.now(), Canary: c, Traffic: traffic, Live: digest, Replicas: taken.Replicas, Kept: p.kept(ctx, c)}
	return foretell(c, foreseen{Outlook: preview.Of(in), digest: digest, replicas: taken.Replicas, held: held, paused: ownersPause(target)}), true
}

// kept is the revision of a primary that is kept as a way back, "" without one, or where it cannot be read: then a way back is told as a rollout.
func (p previews) kept(ctx context.Context, c *v1beta1.Canary) string {
	if !c.Status.TargetServes || c.Status.RetainUntil == nil {
		return ""
	}
	primary := targetOf(c)
	if p.snapshots.live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.PrimaryName()}, primary) != nil {
		return ""
	}
	return primary.GetAnnotations()[revision.AnnotationRevision]
}
