package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	crhandler "sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	// DefaultConfiguration is the name of the shipped webhook configurations.
	DefaultConfiguration = "sluice"

	// newTargetsWebhook and newConfigsWebhook are those whose reach follows the Canaries.
	newTargetsWebhook = "new-targets.sluice.dev"
	newConfigsWebhook = "new-configs.sluice.dev"
	// noNamespace stands for none in a selector that must name one; no namespace can have that name.
	noNamespace = "no_namespace"
	// scopeTimeout bounds one write of the configuration.
	scopeTimeout = 10 * time.Second
)

// scope keeps the webhooks for new objects to those that Canaries wait for: new objects carry no label yet, and everybody else's are none of
// Sluice's business. It never creates a configuration.
type scope struct {
	canaries      client.Reader
	configuration client.Reader
	writer        client.Writer
	name          string
	ignoreConfigs bool
}

// Reconcile writes the reach where it differs. The request says nothing: there is one thing to do.
func (s scope) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, scopeTimeout)
	defer cancel()
	var have admissionregv1.MutatingWebhookConfiguration
	if err := s.configuration.Get(ctx, types.NamespacedName{Name: s.name}, &have); err != nil {
		// Its watch tells when there is one.
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	var list v1beta1.CanaryList
	if err := s.canaries.List(ctx, &list); err != nil {
		return reconcile.Result{}, fmt.Errorf("list the Canaries: %w", err)
	}
	want := have.DeepCopy()
	if !narrow(want, s.wanted(list.Items)) {
		return reconcile.Result{}, nil
	}
	err := s.writer.Patch(ctx, want, client.StrategicMergeFrom(&have, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// The watch brings what is there now.
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("write what Canaries wait for into MutatingWebhookConfiguration %s: %w", s.name, err)
	}
	return reconcile.Result{}, nil
}

// wanted returns the reach of the webhooks for new objects, by name.
func (s scope) wanted(canaries []v1beta1.Canary) map[string]webhookReach {
	var anything, configs webhookReach
	for i := range canaries {
		c := &canaries[i]
		anything.namespaces = append(anything.namespaces, c.Namespace)
		if len(c.Status.AwaitedConfigs) > 0 && !s.ignoreConfigs {
			configs.namespaces = append(configs.namespaces, c.Namespace)
			configs.awaited = append(configs.awaited, awaitedBy(c)...)
		}
	}
	return map[string]webhookReach{newTargetsWebhook: anything, newConfigsWebhook: configs}
}

// webhookReach is what a webhook is asked about. Neither list need be sorted.
type webhookReach struct {
	namespaces []string
	// awaited are objects as awaitedBy writes them.
	awaited []string
}

// narrow puts the reach of webhooks into the configuration and tells whether that changed anything. Other expressions of a selector, and other
// conditions, stay.
func narrow(c *admissionregv1.MutatingWebhookConfiguration, wanted map[string]webhookReach) bool {
	changed := false
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		reach, ok := wanted[w.Name]
		if !ok {
			continue
		}
		if w.NamespaceSelector == nil {
			w.NamespaceSelector = &metav1.LabelSelector{}
		}
		namespaces := unique(reach.namespaces)
		if len(namespaces) == 0 {
			namespaces = []string{noNamespace}
		}
		if e := namedIn(w.NamespaceSelector); !slices.Equal(e.Values, namespaces) {
			e.Values, changed = namespaces, true
		}
		if w.Name == newConfigsWebhook && setCondition(w, awaitedExpression(reach.awaited)) {
			changed = true
		}
	}
	return changed
}

func unique(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// namedIn returns the expression that lists namespaces, which is added when it is missing: without it the webhook would reach all of them.
func namedIn(selector *metav1.LabelSelector) *metav1.LabelSelectorRequirement {
	for i := range selector.MatchExpressions {
		if e := &selector.MatchExpressions[i]; e.Key == corev1.LabelMetadataName && e.Operator == metav1.LabelSelectorOpIn {
			return e
		}
	}
	selector.MatchExpressions = append(selector.MatchExpressions,
		metav1.LabelSelectorRequirement{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn})
	return &selector.MatchExpressions[len(selector.MatchExpressions)-1]
}

// setupScope adds the scope to the manager. It runs where the lease is held, and watches the one configuration by name: that is all it may read.
func setupScope(mgr manager.Manager, name string, ignoreConfigs bool) error {
	configurations, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(),
		Scheme:     mgr.GetScheme(),
		Mapper:     mgr.GetRESTMapper(),
		ByObject: map[client.Object]cache.ByObject{
			&admissionregv1.MutatingWebhookConfiguration{}: {Field: fields.OneTermEqualSelector("metadata.name", name)},
		},
	})
	if err != nil {
		return fmt.Errorf("make the cache of the webhook configuration: %w", err)
	}
	if err := mgr.Add(configurations); err != nil {
		return fmt.Errorf("add the cache of the webhook configuration: %w", err)
	}
	worker, err := controller.New("webhook-scope", mgr, controller.Options{
		Reconciler: scope{
			canaries: mgr.GetCache(), configuration: configurations, writer: mgr.GetClient(), name: name, ignoreConfigs: ignoreConfigs,
		},
	})
	if err != nil {
		return fmt.Errorf("make the controller of the webhook's scope: %w", err)
	}
	// A Canary stays in its namespace, so only its coming and going counts, and what it waits for.
	matters := predicate.TypedFuncs[*v1beta1.Canary]{
		UpdateFunc: func(e event.TypedUpdateEvent[*v1beta1.Canary]) bool {
			return !slices.Equal(e.ObjectOld.Status.AwaitedConfigs, e.ObjectNew.Status.AwaitedConfigs)
		},
	}
	err = errors.Join(
		worker.Watch(source.Kind(mgr.GetCache(), &v1beta1.Canary{}, once[*v1beta1.Canary](name), matters)),
		worker.Watch(source.Kind(configurations, &admissionregv1.MutatingWebhookConfiguration{}, once[*admissionregv1.MutatingWebhookConfiguration](name))),
	)
	if err != nil {
		return fmt.Errorf("watch what decides the webhook's scope: %w", err)
	}
	return nil
}

// once maps every event to the same request, so that many of them are one piece of work.
func once[T client.Object](name string) crhandler.TypedEventHandler[T, reconcile.Request] {
	return crhandler.TypedEnqueueRequestsFromMapFunc(func(context.Context, T) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: name}}}
	})
}
