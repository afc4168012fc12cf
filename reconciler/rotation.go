package reconciler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-logr/logr"

	"github.com/sluice-dev/sluice/reconciler/revision"
)

// rotated returns the digests of the rotated configs that a primary of the given revision reads. What cannot be read, does not exist, or is not
// rotated any more is no reason to replace pods: the digest that they were made with stays, as long as the primary is of that revision.
func (r *Reconciler) rotated(ctx context.Context, w *world, s *revision.Stored) (map[string]string, error) {
	if r.IgnoreConfigs {
		return nil, nil
	}
	refs, err := revision.ConfigRefs(s.Template)
	if err != nil {
		return nil, err
	}
	before := map[string]string{}
	if w.primary != nil && w.observed.Primary.Revision == s.Digest {
		before = revision.RotatedIn(w.primary)
	}
	copied, out := s.ConfigDigests(), map[string]string{}
	for _, ref := range refs {
		key := ref.Key()
		if _, isCopy := copied[key]; isCopy {
			continue
		}
		if found := r.lookup(ctx, w, ref); found.err == nil && found.content != nil && found.content.Rotated {
			out[key] = found.content.Digest
		} else if digest, known := before[key]; known {
			out[key] = digest
		}
	}
	return out, nil
}

// tellRotated names the configs whose new content the primary's pods are being replaced for.
func (r *Reconciler) tellRotated(ctx context.Context, w *world, before, now map[string]string) {
	var changed []string
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if was, known := before[key]; known && was != now[key] {
			changed = append(changed, key)
		}
	}
	if len(changed) == 0 {
		return
	}
	const message = "%s changed; the pods of %s are replaced one after the other, without an analysis"
	names, primary := strings.Join(changed, ", "), w.canary.PrimaryName()+"."+w.canary.Namespace
	logr.FromContextOrDiscard(ctx).Info("Rotated", "configs", names, "primary", primary)
	r.record(w.canary, "Normal", "Rotated", "Rotate", fmt.Sprintf(message, names, primary))
}
