//go:build integration

package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// resolved makes a pod of a Deployment's template, with the image that a node has resolved its tag to, unless it is there.
func (s *stage) resolved(ctx context.Context, d *appsv1.Deployment, hash string) bool {
	labels := with(d.Spec.Template.Labels, map[string]string{revision.PodHashLabel: hash})
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: fmt.Sprintf("%s-%s-real", d.Name, hash), Labels: labels}}
	image := d.Spec.Template.Spec.Containers[0].Image
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: image}}
	if err := shared.admin.Create(ctx, p); err != nil {
		return apierrors.IsAlreadyExists(err)
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Image: image, ImageID: s.resolve(d.Name, image)}}
	return shared.admin.Status().Update(ctx, p) == nil
}

// rolledOut begins a rollout of web:2, whose tag the nodes resolve to other images for the target and the primary.
func rolledOut(t *testing.T, analysed, promoted string) *stage {
	t.Helper()
	s := newStageOf(t, func(deployment, image string) string {
		switch {
		case image == "web:1":
			return "example.com/web@sha256:old"
		case deployment == "web":
			return "example.com/web@sha256:" + analysed
		}
		return "example.com/web@sha256:" + promoted
	})
	s.application()
	s.settled(v1beta1.PhaseInitialized)
	s.checks.set(false, "")
	s.setImage("web:2")
	s.until("the canary's images are recorded", func() bool {
		ro := s.canary().Status.Rollout
		return ro != nil && len(ro.Images) == 1 && ro.Images[0].IDs[0] == "example.com/web@sha256:"+analysed
	})
	s.checks.set(true, "")
	return s
}

func TestPromotionOfTheAnalysedImage(t *testing.T) {
	t.Parallel()
	s := rolledOut(t, "a", "a")
	s.settled(v1beta1.PhaseSucceeded)
}

func TestMovedTagIsNotPromoted(t *testing.T) {
	t.Parallel()
	s := rolledOut(t, "a", "b")
	s.until("the rollout failed", func() bool { return s.canary().Status.Phase == v1beta1.PhaseFailed })
	s.until("the primary has its revision back", func() bool { return s.image("web-primary") == "web:1" && s.canary().Status.Rollout == nil })
	s.until("an event says which image differs", func() bool {
		list := &corev1.EventList{}
		if err := shared.admin.List(t.Context(), list, client.InNamespace(s.ns)); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(list.Items, func(e corev1.Event) bool {
			return strings.Contains(e.Message, "container main of web-primary runs example.com/web@sha256:b, but example.com/web@sha256:a was analysed")
		})
	})
}
