package reconciler

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// This file takes over the copies that Flagger made of a target that is a Service. Where the primary's leads to is the last good revision.

// gatherInheritedService finds out where the primary's copy leads where nothing was promoted here yet.
func (r *Reconciler) gatherInheritedService(ctx context.Context, w *world) error {
	if !core.NeedsInheritance(w.canary) || w.observed.Promoted != nil || w.targetService == nil {
		return nil
	}
	s, err := find(ctx, r, client.ObjectKey{Namespace: w.canary.Namespace, Name: w.canary.PrimaryName()}, &corev1.Service{})
	if err != nil || s == nil || !flaggersService(s, w.canary.Name) {
		return err
	}
	// As the target it is a revision like any other.
	as := s.DeepCopy()
	as.Name, as.UID, as.Generation = w.targetService.Name, "", 0
	u, err := untyped(as)
	if err != nil {
		return err
	}
	snapshot, _, err := revision.Take(u, nil)
	if err != nil {
		return err
	}
	digest, err := snapshot.Digest()
	if err != nil {
		return err
	}
	template, err := snapshot.TemplateDigest()
	if err != nil {
		return err
	}
	w.inherited = &inheritance{digest: digest, snapshot: snapshot}
	w.observed.Inherited = &core.Revision{Digest: digest, Template: template}
	return nil
}

// flaggersService tells whether the primary's copy is one of Flagger's for a Canary. A promotion there leaves the copy without an owner.
func flaggersService(s *corev1.Service, canary string) bool {
	owner := metav1.GetControllerOf(s)
	return owner == nil || isCanary(*owner) && owner.Name == canary
}

// inheritService marks the primary's copy as one that leads to the inherited revision, whose snapshot is stored. It goes on leading there.
func (r *Reconciler) inheritService(ctx context.Context, w *world) error {
	want, err := w.copyFor(rolePrimary, w.primaryService, revision.ByDigest(w.snapshots, w.inherited.digest))
	if err != nil {
		return err
	}
	w.primaryService, err = r.ensureService(ctx, w.primaryService, want)
	return err
}
