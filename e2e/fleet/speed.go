package fleet

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// speed is how fast one Canary follows, each from sending a change.
type speed struct {
	phase
	// figures by name, in order.
	figures []figure
}

type figure struct {
	what string
	took time.Duration
}

func (s *speed) render(b *strings.Builder) {
	fmt.Fprintln(b, "\n| one Canary, from sending a change | time |\n|---|---|")
	for _, f := range s.figures {
		fmt.Fprintf(b, "| %s | %.2f s |\n", f.what, f.took.Seconds())
	}
}

// The versions that the one Canary goes through. It runs settledVersion before.
const (
	settledVersion = "4"
	nextVersion    = "6"
	revokedVersion = "7"
)

// watched is one state that is waited for from a change on.
type watched struct {
	what string
	list client.ObjectList
	is   state
}

// follow rolls out one Canary, goes back at once, and takes another change back at its first step.
func (b *bench) follow(ctx context.Context, r *result) (spans, error) {
	begun := time.Now()
	name := b.names[0]
	before, err := b.sluice.Canary(ctx, client.ObjectKey{Namespace: namespace, Name: name})
	if err != nil {
		return spans{}, err
	}
	good := before.Status.PromotedRevision
	for _, part := range []struct {
		version string
		wait    []watched
	}{
		{nextVersion, []watched{
			{"a change shows in status", &v1beta1.CanaryList{}, notices(good)},
			{"its first pod is there", &appsv1.DeploymentList{}, starts(nextVersion)},
			{"its analysis begins", &v1beta1.CanaryList{}, analyses(good)},
			{"it is promoted", &v1beta1.CanaryList{}, promoted(map[string]string{name: good})},
		}},
		{settledVersion, []watched{
			{"the version before, set back at once: users are on it", &v1beta1.CanaryList{}, serves(good)},
			{"the version before, set back at once: nothing is left to do", &v1beta1.CanaryList{}, rests(good)},
		}},
		{revokedVersion, []watched{{"", &v1beta1.CanaryList{}, analyses(good)}}},
		{settledVersion, []watched{{"a change taken back at its first step: nothing is left to do", &v1beta1.CanaryList{}, rests(good)}}},
	} {
		if err := b.followOne(ctx, &r.speed, part.version, part.wait); err != nil {
			return spans{}, err
		}
	}
	return spansFrom(begun, nil, map[string]time.Time{name: time.Now()}), nil
}

// followOne changes the one application and notes when each state has come about; those without a name are waited for and not noted.
func (b *bench) followOne(ctx context.Context, s *speed, version string, wait []watched) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	one := b.names[:1]
	sent, err := b.changeOne(ctx, one, version)
	if err != nil {
		return err
	}
	type seen struct {
		at  map[string]time.Time
		err error
	}
	answers := make([]chan seen, len(wait))
	for i, w := range wait {
		answers[i] = make(chan seen, 1)
		go func() {
			at, err := b.await(ctx, w.list, w.what, one, w.is)
			answers[i] <- seen{at, err}
		}()
	}
	for i, w := range wait {
		got := <-answers[i]
		if got.err != nil {
			return got.err
		}
		if w.what != "" {
			s.figures = append(s.figures, figure{w.what, got.at[one[0]].Sub(sent)})
		}
	}
	return nil
}

// changeOne gives the one application a version and returns when that was sent.
func (b *bench) changeOne(ctx context.Context, one []string, version string) (time.Time, error) {
	_, sent, err := b.changeAll(ctx, one, version)
	for at := range maps.Values(sent) {
		return at, err
	}
	return time.Time{}, err
}

// notices tells whether a Canary shows another revision than one.
func notices(good string) state {
	return func(o client.Object) (bool, string) {
		c := o.(*v1beta1.Canary)
		return c.Status.CurrentRevision != good, describe(c)
	}
}

// analyses tells whether a revision other than one is at its first step, or further.
func analyses(good string) state {
	return func(o client.Object) (bool, string) {
		c := o.(*v1beta1.Canary)
		ro := c.Status.Rollout
		return ro != nil && ro.Revision != good && ro.Stage == v1beta1.StageAnalysing, describe(c)
	}
}

// starts tells whether a Deployment has a pod of a version.
func starts(version string) state {
	return func(o client.Object) (bool, string) {
		d := o.(*appsv1.Deployment)
		s := d.Status
		mine := d.Spec.Template.Annotations[versionAnnotation] == version && s.ObservedGeneration >= d.Generation
		return mine && s.UpdatedReplicas > 0, fmt.Sprintf("%d pods are new", s.UpdatedReplicas)
	}
}

// serves tells whether a revision is the last good one, which is said once users were seen to be on it.
func serves(good string) state {
	return func(o client.Object) (bool, string) {
		c := o.(*v1beta1.Canary)
		return c.Status.PromotedRevision == good, describe(c)
	}
}

// rests tells whether, besides, nothing is under way: with an ephemeral primary users are back on the target.
func rests(good string) state {
	return func(o client.Object) (bool, string) {
		c := o.(*v1beta1.Canary)
		st := c.Status
		home := st.TargetServes == (c.Lifecycle() == v1beta1.LifecycleEphemeral)
		ready := st.Condition(v1beta1.ConditionReady)
		well := ready != nil && ready.Status == metav1.ConditionTrue
		return st.PromotedRevision == good && st.CurrentRevision == good && st.Rollout == nil && home && well, describe(c)
	}
}
