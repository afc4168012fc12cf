package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"k8s.io/client-go/tools/leaderelection"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// leaseUnit is what the API counts the duration of a lease in.
const leaseUnit = time.Second

// leaseOptions are the times of leader election. A leader that ends as it should hands its lease over at once; these tell how long a rollout
// waits for one that did not.
type leaseOptions struct {
	duration, renewDeadline, retryPeriod time.Duration
}

func (o *leaseOptions) bind(fs *flag.FlagSet) {
	fs.DurationVar(&o.duration, "leader-election-lease-duration", 15*time.Second,
		"how long the others wait for a leader that renews its lease no more; whole seconds")
	fs.DurationVar(&o.renewDeadline, "leader-election-renew-deadline", 10*time.Second,
		"how long a leader tries to renew its lease before it ends")
	fs.DurationVar(&o.retryPeriod, "leader-election-retry-period", 2*time.Second, "wait between two tries to get or renew the lease")
}

// validate refuses times with which two replicas could lead at once, or none for long.
func (o *leaseOptions) validate() error {
	var errs []error
	if o.duration < leaseUnit || o.duration%leaseUnit != 0 {
		errs = append(errs, fmt.Errorf("-leader-election-lease-duration=%s: a lease lasts whole seconds, at least one: write it like 15s", o.duration))
	}
	if o.duration <= o.renewDeadline {
		errs = append(errs, fmt.Errorf(
			"-leader-election-renew-deadline=%s has to be shorter than -leader-election-lease-duration=%s, "+
				"so that a leader ends before another one leads: shorten the first or lengthen the second",
			o.renewDeadline, o.duration))
	}
	// Client-go asks for this much room, so that one slow answer is not the end.
	if least := time.Duration(leaderelection.JitterFactor * float64(o.retryPeriod)); o.retryPeriod <= 0 || o.renewDeadline <= least {
		errs = append(errs, fmt.Errorf(
			"-leader-election-retry-period=%s has to be positive and less than five sixths of -leader-election-renew-deadline=%s, "+
				"so that a leader tries more than once: shorten the first or lengthen the second",
			o.retryPeriod, o.renewDeadline))
	}
	return errors.Join(errs...)
}

// apply sets the times in a manager's options.
func (o *leaseOptions) apply(options *manager.Options) {
	options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = &o.duration, &o.renewDeadline, &o.retryPeriod
}
