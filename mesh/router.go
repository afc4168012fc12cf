package mesh

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// callTimeout bounds one method of Router: a few calls to the API server, or the first fill of a cache.
const callTimeout = 15 * time.Second

// Router reads and writes the routes of Canaries. It may be used concurrently.
type Router struct {
	client   client.Client
	live     client.Reader
	fallback string
	memory   *memory
	settled  settled

	// Drifted is told what somebody else changed in a route, once Write has put it back; nil tells nobody. It is set before the first use, and must not
	// wait.
	Drifted func(*v1beta1.Canary, core.Drift)
}

// New returns a Router for Canaries without spec.provider set to use the provider named by fallback; with an empty fallback each Canary must
// name its own. A fallback that is not an available provider is an error. live reads from the API server itself; Fence needs it.
//
// Objects are read as unstructured: for reads to be free, the cache of the client must serve these (client.CacheOptions.Unstructured). What was
// written is read back at once, also while such a cache is behind; the clock bounds for how long.
func New(c client.Client, live client.Reader, fallback string, clk clock.PassiveClock) (*Router, error) {
	if fallback != "" {
		if _, _, err := lookup("the default provider", fallback); err != nil {
			return nil, err
		}
	}
	return &Router{client: c, live: live, fallback: fallback, memory: newMemory(clk)}, nil
}

// spelling returns the provider that a Canary uses, and the field that says so.
func (r *Router) spelling(c *v1beta1.Canary) (field, value string) {
	if c.Spec.Provider == "" && r.fallback != "" {
		return "the default provider", r.fallback
	}
	return "spec.provider", c.Spec.Provider
}

func (r *Router) provider(c *v1beta1.Canary) (Provider, error) {
	p, _, err := lookup(r.spelling(c))
	return p, err
}

// Traffic tells what the Canary's provider can do. The error of an unknown provider names those accepted.
func (r *Router) Traffic(c *v1beta1.Canary) (core.Traffic, error) {
	_, able, err := lookup(r.spelling(c))
	if err != nil {
		return core.Traffic{}, err
	}
	have := able.Available
	return core.Traffic{
		Weighted: able.Splits, Matches: have.ABTesting, Mirrors: have.MirrorCanary || have.MirrorBlueGreen, Cookies: have.SessionAffinity,
		MatchesTogether: able.AnalysisMatch.Together, Drain: able.Drain, BeforePods: able.BeforePods,
	}, nil
}

// informed returns the provider with what it has to know of the user's objects.
func (r *Router) informed(ctx context.Context, c *v1beta1.Canary, p Provider) (Provider, error) {
	d, ok := p.(derived)
	if !ok {
		return p, nil
	}
	o, namespace := d.source(c)
	if o.Name == "" {
		return d.after(nil), nil
	}
	u, err := fetch(ctx, r.client, namespace, o)
	if err != nil && !meta.IsNoMatchError(err) {
		return nil, err
	}
	return d.after(u), nil
}

// Watches lists the kinds whose changes concern the Canary's route. Its objects carry the label sluice.dev/canary with the Canary's name, or are
// owned by it; what its route is made after is named in its spec, as ingressRef, routeRef or upstreamRef.
func (r *Router) Watches(c *v1beta1.Canary) ([]schema.GroupVersionKind, error) {
	p, err := r.provider(c)
	if err != nil {
		return nil, err
	}
	var kinds []schema.GroupVersionKind
	objects := p.Objects(c)
	if d, ok := p.(derived); ok {
		if o, _ := d.source(c); o.Name != "" {
			objects = append(objects, o)
		}
	}
	for _, o := range objects {
		if !slices.Contains(kinds, o.Kind) {
			kinds = append(kinds, o.Kind)
		}
	}
	return kinds, nil
}

// Read reports the route as it is. A missing object is a Route that does not exist; a kind that the cluster does not know is a Route with a
// Problem. Errors are those of the API server, and of an unknown provider.
func (r *Router) Read(ctx context.Context, c *v1beta1.Canary) (core.Route, error) {
	p, err := r.provider(c)
	if err != nil {
		return core.Route{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()

	var carrier *unstructured.Unstructured
	objects := p.Objects(c)
	for _, o := range objects {
		carrier, err = r.get(ctx, c, o)
		if meta.IsNoMatchError(err) {
			return core.Route{Problem: missingKind(o)}, nil
		}
		if err != nil {
			return core.Route{}, err
		}
	}
	if carrier == nil && len(objects) > 0 {
		return core.Route{}, nil
	}
	if p, err = r.informed(ctx, c, p); err != nil {
		return core.Route{}, err
	}
	route := p.Read(c, carrier)
	if carrier != nil {
		route.Version, route.Fence = versionOf(carrier), fenceOf(carrier)
	}
	return route, nil
}

// Write brings the route to intent and tells whether anything had to change. Weights that do not sum to 100 are refused. A fence is taken off with
// the same write, unless the intent keeps it.
//
// A route whose spec and fence are not at intent.Version any more, or that changes while it is written, is a conflict (apierrors.IsConflict): read and decide
// again.
//
// Where the Canary asks for what the provider, the gateway or the API server refuses, that is the error, but a split that is there already is moved all the
// same: taking traffic back must not wait until somebody has mended the Canary.
func (r *Router) Write(ctx context.Context, c *v1beta1.Canary, intent core.RouteIntent) (changed bool, err error) {
	p, err := r.provider(c)
	if err != nil {
		return false, err
	}
	if intent.Primary < 0 || intent.Canary < 0 || intent.Primary+intent.Canary != 100 {
		return false, fmt.Errorf("a split of %d to the primary and %d to the canary does not sum to 100", intent.Primary, intent.Canary)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()

	if p, err = r.informed(ctx, c, p); err != nil {
		return false, err
	}
	refused := r.refuseMirror(ctx, c, p, &intent)
	objects := p.Objects(c)
	for i, o := range objects {
		version := ""
		if i == len(objects)-1 {
			version = intent.Version
		}
		wrote, err := r.bring(ctx, c, p, o, intent, version)
		changed = changed || wrote
		if err != nil {
			return changed, err
		}
	}
	return changed, refused
}

// Prepare writes what has to be there before the first pods of the primary: a sidecar is told when a pod is created what it is part of. A provider without
// anything of the kind, and an unknown one, need nothing.
func (r *Router) Prepare(ctx context.Context, c *v1beta1.Canary, pods core.PodLabel) error {
	p, err := r.provider(c)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, o := range p.Objects(c) {
		if !o.BeforePods {
			continue
		}
		if _, err := r.bring(ctx, c, p, o, core.RouteIntent{Split: core.Split{Primary: 100}, Pods: pods}, ""); err != nil {
			return err
		}
	}
	return nil
}

// bring writes one object if it differs from what it ought to be.
func (r *Router) bring(ctx context.Context, c *v1beta1.Canary, p Provider, o Object, intent core.RouteIntent, version string) (bool, error) {
	existing, err := r.get(ctx, c, o)
	if meta.IsNoMatchError(err) {
		return false, fmt.Errorf("%s: %w", missingKind(o), err)
	}
	if err != nil {
		return false, err
	}
	if err := unchangedSince(o, existing, version); err != nil {
		return false, err
	}
	if err := refuseOthers(c, o, existing); err != nil {
		return false, err
	}
	wrote, err := r.render(ctx, c, p, o, existing, intent)
	if existing == nil || err == nil || apierrors.IsConflict(err) {
		return wrote, err
	}
	diverted := p.Divert(c, existing, intent)
	if !intent.KeepFence {
		free(diverted)
	}
	wrote, divertErr := r.patch(ctx, o, existing, diverted)
	if divertErr != nil {
		return wrote, divertErr
	}
	return wrote, fmt.Errorf("only the weights of %s are kept: %w", o, err)
}

// render writes one object as the Canary asks for it.
func (r *Router) render(
	ctx context.Context, c *v1beta1.Canary, p Provider, o Object, existing *unstructured.Unstructured, intent core.RouteIntent,
) (bool, error) {
	if existing != nil && intent.ViaApex {
		r.settled.drop(c, o)
		desired := p.Divert(c, existing, intent)
		claim(desired, c, o, false)
		if !intent.KeepFence {
			free(desired)
		}
		return r.patch(ctx, o, existing, desired)
	}
	desired, err := p.Render(c, o, existing, intent)
	if err != nil {
		return false, err
	}
	claim(desired, c, o, existing == nil)
	if !intent.KeepFence {
		free(desired)
	}
	drift := r.drifted(ctx, c, p, o, existing, desired, intent)
	wrote := existing == nil
	if wrote {
		err = r.create(ctx, o, desired)
	} else {
		wrote, err = r.patch(ctx, o, existing, desired)
	}
	if err != nil {
		return false, err
	}
	r.settled.note(c, o, desired)
	if wrote && drift != nil {
		r.Drifted(c, *drift)
	}
	return wrote, nil
}

// GiveBack lets the application go on without Sluice: its routes lead to the apex Service, and nothing marks them as the Canary's or has them
// deleted with it. Objects of all providers are looked for, because the Canary's provider may have changed since it wrote them. Doing it twice is
// the same as once. Conflicts are errors as in Write.
func (r *Router) GiveBack(ctx context.Context, c *v1beta1.Canary) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()

	all := implementations()
	_, own, _ := lookup(r.spelling(c))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		objects := all[name].Objects(c)
		// What carries the weights comes first, so that no rule is left without what it refers to.
		slices.Reverse(objects)
		for _, o := range objects {
			// No informer is started for a kind that a Canary may never have had.
			from := r.live
			if name == own.Name {
				from = nil
			}
			if err := r.giveBack(ctx, c, all[name], o, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveBack gives one object back, as it is read by from, or by the cache when that is nil.
func (r *Router) giveBack(ctx context.Context, c *v1beta1.Canary, p Provider, o Object, from client.Reader) error {
	r.settled.drop(c, o)
	var existing *unstructured.Unstructured
	var err error
	if from == nil {
		existing, err = r.get(ctx, c, o)
	} else {
		existing, err = fetch(ctx, from, c.Namespace, o)
	}
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil || existing == nil {
		return err
	}
	if o.Goes && slices.ContainsFunc(existing.GetOwnerReferences(), isCanary) {
		return nil
	}
	if other, _ := otherCanary(c, existing); other != "" {
		return nil
	}
	desired := p.Divert(c, existing, core.RouteIntent{Split: core.Split{Primary: 100}, ViaApex: true})
	if !claimed(existing, c) && equality.Semantic.DeepEqual(existing.Object, desired.Object) {
		// Somebody else's object that has the apex Service's name by chance.
		return nil
	}
	release(desired, c)
	_, err = r.patch(ctx, o, existing, desired)
	return err
}
