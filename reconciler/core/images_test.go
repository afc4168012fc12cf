package core

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	imageA = "example.com/app@sha256:aaaa"
	imageB = "example.com/app@sha256:bbbb"
)

// A tag is moved between the analysis and the promotion: what nobody analysed is not promoted.
func TestMovedTag(t *testing.T) {
	w := initialised(t, progressive(), true)
	w.strict = true
	w.tag = func(primary bool) string {
		if primary && w.primary.template == "v2" {
			return imageB
		}
		return imageA
	}
	w.push("v2")
	w.must(t, 3*time.Minute, w.phase(v1beta1.PhaseFailed))
	if w.promoted != "v1" || w.primary.template != "v1" || w.target.replicas != 0 || len(w.violations) > 0 {
		t.Errorf("promoted %s, primary %s, target at %d, %v", w.promoted, w.primary.template, w.target.replicas, w.violations)
	}
	for _, text := range []string{"container main of app-primary", "sha256:bbbb", "sha256:aaaa", "kubectl rollout restart deployment/app"} {
		if !strings.Contains(w.story(), text) {
			t.Errorf("%q is not said", text)
		}
	}
	golden(t, "moved-tag", w.story())
}

func TestDifferentImages(t *testing.T) {
	for _, c := range []struct {
		ids  []string
		id   string
		want bool
	}{
		{[]string{imageA}, imageA, false},
		{[]string{imageA}, "mirror.example.com/app@sha256:aaaa", false},
		{[]string{imageA}, imageB, true},
		{[]string{imageA, imageB}, imageB, false},
		// Pulled on one node, loaded by hand on the other.
		{[]string{imageA}, "sha256:cccc", false},
		{[]string{"sha256:cccc"}, "sha256:dddd", true},
		{[]string{"sha256:cccc", imageA}, "sha256:cccc", false},
	} {
		if got := differs(c.ids, c.id); got != c.want {
			t.Errorf("%s differs from %v: %v", c.id, c.ids, got)
		}
	}
}

// Looking costs a read, so it is done where it matters only.
func TestNeedsImages(t *testing.T) {
	primary := Workload{Revision: "v2", Current: true, Updated: 1}
	for _, c := range []struct {
		ro              *v1beta1.RolloutStatus
		canary, primary bool
	}{
		{nil, false, false},
		{&v1beta1.RolloutStatus{Stage: v1beta1.StageScalingUp}, false, false},
		{&v1beta1.RolloutStatus{Stage: v1beta1.StageAnalysing}, true, false},
		{&v1beta1.RolloutStatus{Stage: v1beta1.StageAnalysing, ImagesRead: true}, false, false},
		{&v1beta1.RolloutStatus{Stage: v1beta1.StagePromoting, Revision: "v2"}, false, false},
		{&v1beta1.RolloutStatus{Stage: v1beta1.StagePromoting, Revision: "v3", Images: []v1beta1.ContainerImages{{}}}, false, false},
		{&v1beta1.RolloutStatus{Stage: v1beta1.StagePromoting, Revision: "v2", Images: []v1beta1.ContainerImages{{}}}, false, true},
	} {
		canary := &v1beta1.Canary{}
		canary.Status.Rollout = c.ro
		if ofCanary, ofPrimary := NeedsImages(canary, primary); ofCanary != c.canary || ofPrimary != c.primary {
			t.Errorf("%+v: %v, %v", c.ro, ofCanary, ofPrimary)
		}
	}
}

func TestImagesInStatusAreBounded(t *testing.T) {
	in := Observed{Canary: &v1beta1.Canary{}, CanaryImages: Images{}}
	in.Canary.Status.Rollout = &v1beta1.RolloutStatus{Stage: v1beta1.StageAnalysing}
	for i := range 100 {
		in.CanaryImages[strings.Repeat("c", i+1)] = []string{"1", "2", "3", "4", "5"}
	}
	d := newDecision(in)
	d.recordImages()
	if n := len(d.ro().Images); n != v1beta1.MaxImages || len(d.ro().Images[0].IDs) != v1beta1.MaxImageIDs {
		t.Errorf("%d containers with %d IDs", n, len(d.ro().Images[0].IDs))
	}
}
