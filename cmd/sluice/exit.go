package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/certs"
)

// exitPoll is how often the emergency exit looks at the Canaries.
const exitPoll = time.Second

// exitOptions are the flags of the emergency exit.
type exitOptions struct {
	log        logOptions
	engine     engineOptions
	timeout    time.Duration
	validating string
	mutating   string
}

func (o *exitOptions) bind(fs *flag.FlagSet) {
	o.log.bind(fs)
	o.engine.bind(fs)
	fs.DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long all applications together may take to serve by themselves; what is not done then goes on while a controller runs")
	fs.StringVar(&o.validating, "validating-webhook-configuration", certs.DefaultConfiguration, "ValidatingWebhookConfiguration to remove")
	fs.StringVar(&o.mutating, "mutating-webhook-configuration", certs.DefaultConfiguration, "MutatingWebhookConfiguration to remove")
}

func bindExit(fs *flag.FlagSet, out io.Writer) func(context.Context) error {
	o := &exitOptions{}
	o.bind(fs)
	return func(ctx context.Context) error {
		if err := inherit(fs, os.ReadFile); err != nil {
			return err
		}
		if err := o.engine.validate(); err != nil {
			return err
		}
		log, err := o.log.logger()
		if err != nil {
			return err
		}
		cfg, err := o.engine.restConfig()
		if err != nil {
			return err
		}
		return runExit(ctx, o, cfg, log, out)
	}
}

// runExit takes Sluice out of the way, whatever state it is in: it needs no running controller and no lease. Running it again is the same as once.
func runExit(ctx context.Context, o *exitOptions, cfg *rest.Config, log logr.Logger, out io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done after %s", o.timeout))
	defer cancel()
	mgr, err := newExitManager(o, cfg, log)
	if err != nil {
		return err
	}
	e := &exit{client: mgr.GetClient(), live: mgr.GetAPIReader(), namespace: o.engine.namespace, out: out, told: map[types.NamespacedName]string{}}
	// The gate goes first: from here on nothing that Sluice does, or fails to do, can be in anybody's way.
	if err := e.removeWebhooks(ctx, o.validating, o.mutating); err != nil {
		return err
	}
	remaining, err := e.look(ctx)
	if err != nil {
		return err
	}
	if remaining == 0 {
		e.done()
		return nil
	}
	router, err := newRouter(mgr, o.engine)
	if err != nil {
		return err
	}
	if err := addEngine(ctx, mgr, router, o.engine, nil, exitConcurrency, prometheus.NewRegistry()); err != nil {
		return err
	}
	return e.waitWhile(ctx, mgr)
}

// exitConcurrency is how many applications are given back at the same time.
const exitConcurrency = 20

func newExitManager(o *exitOptions, cfg *rest.Config, log logr.Logger) (manager.Manager, error) {
	options, err := engineManagerOptions(o.engine, log)
	if err != nil {
		return nil, err
	}
	options.Metrics = metricsserver.Options{BindAddress: "0"}
	mgr, err := manager.New(cfg, options)
	if err != nil {
		return nil, fmt.Errorf("preparing the manager: %w", err)
	}
	return mgr, nil
}

// exit is one emergency exit under way.
type exit struct {
	client    client.Client
	live      client.Reader
	namespace string
	out       io.Writer
	// told is what was last printed about each Canary.
	told map[types.NamespacedName]string
}

// say prints a line for the operator. Losing it is no reason to stop.
func (e *exit) say(format string, args ...any) {
	_, _ = fmt.Fprintf(e.out, format+"\n", args...)
}

func (e *exit) removeWebhooks(ctx context.Context, validating, mutating string) error {
	for _, object := range []client.Object{
		&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: validating}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: mutating}},
	} {
		kind := fmt.Sprintf("%T", object)[len("*v1."):]
		switch err := e.client.Delete(ctx, object); {
		case apierrors.IsNotFound(err):
			e.say("%s %s: already gone", kind, object.GetName())
		case err != nil:
			return fmt.Errorf("removing %s %s: %w", kind, object.GetName(), err)
		default:
			e.say("%s %s: removed", kind, object.GetName())
		}
	}
	return nil
}

// waitWhile runs the manager until every application is given back.
func (e *exit) waitWhile(ctx context.Context, mgr manager.Manager) error {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(running) }()
	err := e.wait(ctx, ended)
	stop()
	if err == nil {
		e.done()
	}
	return err
}

func (e *exit) done() {
	e.say("Done: every application serves by itself. Sluice can be removed.")
}

func (e *exit) wait(ctx context.Context, ended <-chan error) error {
	ticker := time.NewTicker(exitPoll)
	defer ticker.Stop()
	for {
		remaining, err := e.look(ctx)
		if err == nil && remaining == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case failed := <-ended:
			return errors.Join(errors.New("the reconciler stopped"), failed)
		case <-ctx.Done():
			return fmt.Errorf("%d application(s) not given back yet: %w; run it again to go on", remaining, context.Cause(ctx))
		}
	}
}

// look asks every Canary that was not asked yet to leave, tells what has changed, and returns how many have not left.
func (e *exit) look(ctx context.Context) (remaining int, err error) {
	var canaries v1beta1.CanaryList
	switch err := e.live.List(ctx, &canaries, client.InNamespace(e.namespace)); {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		e.say("The cluster has no CRD for Canaries, so there is nothing to give back.")
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("listing the Canaries: %w", err)
	}
	var errs []error
	for i := range canaries.Items {
		c := &canaries.Items[i]
		if err := e.ask(ctx, c); err != nil {
			errs = append(errs, err)
		}
		state, left := standing(c)
		if !left {
			remaining++
		}
		if key := client.ObjectKeyFromObject(c); e.told[key] != state {
			e.told[key] = state
			e.say("Canary %s: %s", key, state)
		}
	}
	return remaining, errors.Join(errs...)
}

// ask marks a Canary as leaving, for this process and for any controller that runs.
func (e *exit) ask(ctx context.Context, c *v1beta1.Canary) error {
	if c.Annotations[v1beta1.AnnotationLeave] == "true" {
		return nil
	}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"true"}}}`, v1beta1.AnnotationLeave))
	if err := e.client.Patch(ctx, c, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("asking Canary %s/%s to leave: %w", c.Namespace, c.Name, err)
	}
	return nil
}

// standing describes how far a Canary is. It has left when its finalizer, the last thing to go, is gone.
func standing(c *v1beta1.Canary) (state string, left bool) {
	if c.Annotations[v1beta1.AnnotationLeave] == "true" && c.Status.Phase == "" && !slices.Contains(c.Finalizers, v1beta1.Finalizer) {
		return fmt.Sprintf("%s %s serves by itself", c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name), true
	}
	if ready := c.Status.Condition(v1beta1.ConditionReady); ready != nil && c.Status.Phase == v1beta1.PhaseTerminating {
		return "leaving: " + ready.Message, false
	}
	return "leaving", false
}
