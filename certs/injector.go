package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// SinceAnnotation is set on a webhook configuration and says when the CA that leads its bundle was put there (RFC 3339).
	SinceAnnotation = "sluice.dev/ca-since"

	// minWriteInterval keeps the injector from an exchange of blows with somebody who keeps changing the bundle.
	minWriteInterval = time.Second
	// writeTimeout bounds one write.
	writeTimeout = 10 * time.Second
)

// foreignInjection are the annotations that ask cert-manager to inject a CA.
var foreignInjection = []string{cmapi.WantInjectAnnotation, cmapi.WantInjectFromSecretAnnotation, cmapi.WantInjectAPIServerCAAnnotation}

// Injector writes the CA of the built-in authority into Sluice's own webhook configurations, and tells the certificate source what is there.
// It never creates a configuration. All replicas run one; writes that meet are settled by the resourceVersion.
type Injector struct {
	reader  client.Reader
	writer  client.Writer
	secret  types.NamespacedName
	targets []configuration
	overlap time.Duration
	now     func() time.Time
	trust   *trust
	// written is when each target was last written. Only the single worker touches it.
	written map[string]time.Time
}

func newInjector(opts Options, known *trust, reader client.Reader, writer client.Writer) *Injector {
	return &Injector{
		reader: reader,
		writer: writer,
		secret: types.NamespacedName{Namespace: opts.Namespace, Name: opts.CASecret},
		targets: []configuration{
			validatingConfiguration(opts.ValidatingConfiguration),
			mutatingConfiguration(opts.MutatingConfiguration),
		},
		overlap: opts.Overlap,
		now:     opts.Now,
		trust:   known,
		written: map[string]time.Time{},
	}
}

// Reconcile brings every configuration to the bundle that it should carry. The request says nothing: there is one thing to do.
func (i *Injector) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	present, err := i.read(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	published := make(map[string]publication, len(present))
	for _, c := range present {
		published[c.String()] = c.publication()
	}
	i.trust.observe(published)

	current, err := i.currentCA(ctx)
	if current == nil || err != nil {
		return reconcile.Result{}, err
	}
	var (
		errs []error
		next time.Duration
	)
	for _, c := range present {
		after, err := i.apply(ctx, c, planBundle(c.publication(), current, i.now(), i.overlap))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c, err))
		}
		if after > 0 && (next == 0 || after < next) {
			next = after
		}
	}
	if err := errors.Join(errs...); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: next}, nil
}

// read returns the configurations that exist.
func (i *Injector) read(ctx context.Context) ([]configuration, error) {
	var present []configuration
	for _, t := range i.targets {
		c := t.copy()
		err := i.reader.Get(ctx, client.ObjectKeyFromObject(c.object), c.object)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", c, err)
		}
		present = append(present, c)
	}
	return present, nil
}

// currentCA returns the CA that signs, or nil while there is none: the authority is about to create or replace the Secret, which wakes the injector.
func (i *Injector) currentCA(ctx context.Context) (*x509.Certificate, error) {
	var secret corev1.Secret
	if err := i.reader.Get(ctx, i.secret, &secret); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading the CA Secret %s: %w", i.secret, err)
	}
	current, err := parseCA(&secret)
	if err != nil {
		log.FromContext(ctx).Info("The CA Secret is unusable, waiting for the authority to replace it", "secret", i.secret.String(), "reason", err.Error())
		return nil, nil
	}
	return current, nil
}

// apply writes the plan where it differs, and returns when to look again; zero for not before something changes.
func (i *Injector) apply(ctx context.Context, c configuration, plan bundlePlan) (time.Duration, error) {
	now := i.now()
	if !plan.write {
		return plan.wake(now), nil
	}
	if err := refuseForeign(c); err != nil {
		return 0, err
	}
	if wait := minWriteInterval - now.Sub(i.written[c.String()]); wait > 0 {
		return wait, nil
	}
	err := i.write(ctx, c, plan)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// Somebody, most likely another replica, was faster; the watch delivers what is there now.
		return minWriteInterval, nil
	}
	if err != nil {
		return 0, fmt.Errorf("writing the CA bundle: %w", err)
	}
	i.written[c.String()] = now
	log.FromContext(ctx).Info("Published the CA bundle", "configuration", c.String(), "certificates", len(decodeBundle(plan.bundle)), "since", plan.since)
	return plan.wake(now), nil
}

// write sends only the fields that change, so that fields unknown to this version survive, bound to the version that the plan was made on.
func (i *Injector) write(ctx context.Context, c configuration, plan bundlePlan) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	changed := c.copy()
	changed.carry(plan)
	return i.writer.Patch(ctx, changed.object, client.StrategicMergeFrom(c.object, client.MergeFromWithOptimisticLock{}))
}

// refuseForeign stops the injector where cert-manager was asked to do its work: each would undo the other for ever.
func refuseForeign(c configuration) error {
	for _, key := range foreignInjection {
		if value, found := c.object.GetAnnotations()[key]; found {
			return reconcile.TerminalError(fmt.Errorf(
				"annotation %s=%q asks cert-manager for the CA bundle that certificate mode %q writes: remove the annotation, or use mode %q",
				key, value, ModeBuiltin, ModeFiles))
		}
	}
	return nil
}
