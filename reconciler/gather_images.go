package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// maxPods bounds how many pods of a side are looked at.
const maxPods = 500

// gatherImages asks which images the pods of a side run, where the decision looks at them. Pods are not watched: there are too many of them.
func (r *Reconciler) gatherImages(ctx context.Context, w *world) error {
	ofCanary, ofPrimary := core.NeedsImages(w.canary, w.observed.Primary)
	var err error
	if ofCanary && w.target != nil {
		w.observed.CanaryImages, err = r.images(ctx, w, w.target, w.canary.Status.Rollout.PodHash)
	}
	if ofPrimary && w.primary != nil {
		var hash string
		if hash, err = r.ownHash(ctx, w, w.primary); err == nil {
			w.observed.PrimaryImages, err = r.images(ctx, w, w.primary, hash)
		}
	}
	if apierrors.IsForbidden(err) {
		// An installation whose rights are of an earlier version: promotions go on as they did there, but not silently.
		w.problem(false, "ImagesUnchecked", "the images of pods cannot be compared: %v; apply the rights of this version", err)
		return nil
	}
	return err
}

// images returns what the pods of a workload with the given hash run; nil without a hash.
func (r *Reconciler) images(ctx context.Context, w *world, workload *unstructured.Unstructured, hash string) (core.Images, error) {
	if hash == "" {
		return nil, nil
	}
	match, _, err := unstructured.NestedStringMap(workload.Object, "spec", "selector", "matchLabels")
	if err != nil {
		return nil, fmt.Errorf("read the selector of %s: %w", workload.GetName(), err)
	}
	match[w.kind.hashLabel()] = hash
	pods := &corev1.PodList{}
	if err := r.Live.List(ctx, pods, client.InNamespace(w.canary.Namespace), client.MatchingLabels(match), client.Limit(maxPods)); err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", workload.GetName(), err)
	}
	return imagesOf(pods.Items), nil
}

// imagesOf collects the IDs of images that tags were resolved to, of the pods that are not on their way out.
func imagesOf(pods []corev1.Pod) core.Images {
	out := core.Images{}
	for i := range pods {
		p := &pods[i]
		if p.DeletionTimestamp != nil {
			continue
		}
		tagged := map[string]bool{}
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			tagged[c.Name] = !strings.Contains(c.Image, "@")
		}
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if tagged[s.Name] && s.ImageID != "" && !slices.Contains(out[s.Name], s.ImageID) {
				out[s.Name] = append(out[s.Name], s.ImageID)
			}
		}
	}
	for _, ids := range out {
		slices.Sort(ids)
	}
	return out
}
