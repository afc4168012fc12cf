package demo

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/harness"
)

// rollout deploys the next version and follows it until it is over and users
// were watched for a while. What was seen is returned also with an error.
func (d *demonstration) rollout(ctx context.Context, bad bool) (evidence, error) {
	d.number++
	app := d.app
	app.Version, app.Broken = fmt.Sprintf("v%d", d.number), bad
	e := evidence{version: app.Version, bad: bad}
	primary := types.NamespacedName{Namespace: app.Key().Namespace, Name: app.Name + "-primary"}
	var err error
	if e.previous, err = d.harness.DeployedVersion(ctx, primary); err != nil {
		return e, err
	}

	following, stop := context.WithCancel(ctx)
	defer stop()
	begun := time.Now()
	timeline := d.harness.Follow(following, app.Key())
	showing := make(chan struct{})
	go d.show(following, app.Version, timeline, showing)
	defer func() { stop(); <-showing; d.options.Screen.Clear() }()

	err = d.follow(ctx, app, timeline, &e)
	e.moments = timeline.Moments()
	e.recording = d.users.Recording().Between(begun, time.Time{})
	if err != nil {
		return e, err
	}
	e.serving, err = d.harness.DeployedVersion(ctx, primary)
	return e, err
}

// follow takes a rollout from before its beginning until after its end.
func (d *demonstration) follow(ctx context.Context, app harness.App, timeline *harness.Timeline, e *evidence) error {
	screen := d.options.Screen
	if err := pause(ctx, quiet); err != nil {
		return err
	}
	what := "which is good"
	if app.Broken {
		what = "which answers HTTP 500 to every user"
	}
	screen.Say("kubectl apply: %s, %s", app.Version, what)
	if err := d.harness.Deploy(ctx, app); err != nil {
		return err
	}
	e.deployed = time.Now()
	noticing, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	_, err := timeline.Wait(noticing, func(m harness.Moment) bool { return m.Phase().InRollout() })
	if err != nil {
		return fmt.Errorf("%s was not taken up: %w\n%s", app.Version, err, d.harness.Report(ctx, app.Key()))
	}
	for _, m := range timeline.Moments() {
		if m.Phase().InRollout() {
			e.noticed = m.At
			break
		}
	}
	ending, cancelEnding := context.WithTimeout(ctx, rolloutTimeout)
	defer cancelEnding()
	last, err := timeline.Wait(ending, func(m harness.Moment) bool {
		e.phase = m.Phase()
		return m.Phase() == v1beta1.PhaseSucceeded || m.Phase() == v1beta1.PhaseFailed
	})
	if err != nil {
		return fmt.Errorf("the rollout of %s did not end: %w\n%s", app.Version, err, d.harness.Report(ctx, app.Key()))
	}
	e.ended = last.At
	screen.Say("%s: %s", app.Version, verdict(last))
	// A rollback goes on until the canary's pods are gone; users are watched until then.
	_, err = timeline.Wait(ending, func(m harness.Moment) bool { return m.Canary != nil && m.Stage() == "" })
	if err != nil {
		return fmt.Errorf("the rollout of %s was not tidied up: %w\n%s", app.Version, err, d.harness.Report(ctx, app.Key()))
	}
	return pause(ctx, quiet)
}

// verdict says how a rollout ended, in the Canary's own words.
func verdict(m harness.Moment) string {
	status := m.Canary.Status
	if m.Phase() == v1beta1.PhaseFailed && status.Rollout != nil {
		return fmt.Sprintf("%s: %s", m.Phase(), status.Rollout.Reason)
	}
	if c := status.Condition(v1beta1.ConditionPromoted); c != nil {
		return fmt.Sprintf("%s. %s", m.Phase(), c.Message)
	}
	return string(m.Phase())
}

// show redraws the live view until ctx ends.
func (d *demonstration) show(ctx context.Context, version string, timeline *harness.Timeline, done chan<- struct{}) {
	defer close(done)
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	begun := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		last := timeline.Last()
		begun = begun || last.Phase().InRollout()
		users := d.users.Recording().Between(now.Add(-recent), now).Summary()
		state, lines := frame(version, begun, last, users)
		d.options.Screen.Show(state, lines...)
	}
}

func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
