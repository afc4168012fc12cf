package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// canaries finds the Canaries that an object concerns.
type canaries struct {
	cache client.Reader
	live  client.Reader
}

// Indexes of Canaries in the cache.
const (
	// indexTarget holds the target, as workloadRef.index.
	indexTarget = "sluice.dev/target"
	// indexConfig holds the configs that the target is known to reference, as revision.ConfigRef.Key, or unread where that is not known yet.
	indexConfig = "sluice.dev/config"
	unread      = "?"
)

// addIndexes makes the cache able to find Canaries by target and config.
func addIndexes(ctx context.Context, to client.FieldIndexer) error {
	byTarget := func(o client.Object) []string {
		c := o.(*v1beta1.Canary)
		return []string{workloadRef{kind: c.Spec.TargetRef.Kind, name: c.Spec.TargetRef.Name}.index()}
	}
	byConfig := func(o client.Object) []string { return configKeys(o.(*v1beta1.Canary)) }
	return errors.Join(
		to.IndexField(ctx, &v1beta1.Canary{}, indexTarget, byTarget),
		to.IndexField(ctx, &v1beta1.Canary{}, indexConfig, byConfig),
	)
}

// configKeys lists the configs, there or awaited, that the reconciler has found the target to reference.
func configKeys(c *v1beta1.Canary) []string {
	keys := slices.Clone(c.Status.AwaitedConfigs)
	for key := range c.Status.TrackedConfigs {
		keys = append(keys, key)
	}
	if c.Status.CurrentRevision == "" {
		keys = append(keys, unread)
	}
	return keys
}

// workloadRef names a workload as a Canary's targetRef does.
type workloadRef struct{ kind, namespace, name string }

// index is the workload's entry in indexTarget; the cache keeps namespaces apart by itself.
func (w workloadRef) index() string { return w.kind + "/" + w.name }

func (w workloadRef) targetOf(c *v1beta1.Canary) bool {
	return c.Namespace == w.namespace && c.Spec.TargetRef.Kind == w.kind && c.Spec.TargetRef.Name == w.name
}

// targetOf returns an object that names a Canary's target and is otherwise empty.
func targetOf(c *v1beta1.Canary) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(appsv1.SchemeGroupVersion.String())
	if c.TargetsService() {
		u.SetAPIVersion(corev1.SchemeGroupVersion.String())
	}
	u.SetKind(c.Spec.TargetRef.Kind)
	u.SetNamespace(c.Namespace)
	u.SetName(c.Spec.TargetRef.Name)
	return u
}

// ofNew finds the Canary of a workload that is being created; nil when there is none. Most such workloads have none, so only the cache is asked.
func (f canaries) ofNew(ctx context.Context, w workloadRef) (*v1beta1.Canary, error) {
	return f.byTarget(ctx, f.cache, w, client.MatchingFields{indexTarget: w.index()})
}

// of finds the Canary of a workload that carries Sluice's labels: one in the cache that names the workload, else one on the API server, for the
// cache may not have seen it yet. Nil means that there is none.
func (f canaries) of(ctx context.Context, w workloadRef) (*v1beta1.Canary, error) {
	if c, err := f.ofNew(ctx, w); c != nil || err != nil {
		return c, err
	}
	return f.byTarget(ctx, f.live, w)
}

// byTarget finds the Canary that names the workload. Where several do, which admission denies, the one in charge counts.
func (f canaries) byTarget(ctx context.Context, from client.Reader, w workloadRef, narrow ...client.ListOption) (*v1beta1.Canary, error) {
	list, err := list(ctx, from, w.namespace, narrow...)
	if err != nil {
		return nil, err
	}
	var best *v1beta1.Canary
	for _, c := range list {
		if w.targetOf(c) && (best == nil || inCharge(c, best)) {
			best = c
		}
	}
	return best, nil
}

// ofConfig finds the Canaries whose targets reference a config, by name, one for each target. What the reconciler has found out is in their status; of
// a Canary that it has yet to look at, the target is read.
//
// With sure, the API server is asked before the answer is "none". An error comes with the Canaries that could be found.
func (f canaries) ofConfig(ctx context.Context, namespace string, ref revision.ConfigRef, sure bool) ([]*v1beta1.Canary, error) {
	found, err := list(ctx, f.cache, namespace, client.MatchingFields{indexConfig: ref.Key()})
	if err != nil {
		return nil, err
	}
	fresh, err := list(ctx, f.cache, namespace, client.MatchingFields{indexConfig: unread})
	if err != nil {
		return nil, err
	}
	if sure && len(found)+len(fresh) == 0 {
		all, err := list(ctx, f.live, namespace)
		if err != nil {
			return nil, err
		}
		for _, c := range all {
			switch keys := configKeys(c); {
			case slices.Contains(keys, ref.Key()):
				found = append(found, c)
			case slices.Contains(keys, unread):
				fresh = append(fresh, c)
			}
		}
	}
	for _, c := range fresh {
		refers, lookErr := f.targetRefers(ctx, c, ref)
		if err = errors.Join(err, lookErr); refers {
			found = append(found, c)
		}
	}
	return onePerTarget(found), err
}

// targetRefers reads a Canary's target and tells whether its template references a config.
func (f canaries) targetRefers(ctx context.Context, c *v1beta1.Canary, ref revision.ConfigRef) (bool, error) {
	target, err := liveTarget(ctx, f.live, c)
	if target == nil || err != nil {
		return false, err
	}
	template, err := revision.TemplateOf(target)
	if err != nil {
		return false, err
	}
	refs, err := revision.ConfigRefs(template)
	return slices.ContainsFunc(refs, func(r revision.ConfigRef) bool { return r.Key() == ref.Key() }), err
}

// onePerTarget drops Canaries that are listed twice, and those that are not in charge of their target.
func onePerTarget(list []*v1beta1.Canary) []*v1beta1.Canary {
	best := map[string]*v1beta1.Canary{}
	for _, c := range list {
		target := workloadRef{kind: c.Spec.TargetRef.Kind, name: c.Spec.TargetRef.Name}.index()
		if have := best[target]; have == nil || inCharge(c, have) {
			best[target] = c
		}
	}
	out := make([]*v1beta1.Canary, 0, len(best))
	for _, c := range best {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *v1beta1.Canary) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// inCharge tells whether a comes before b. One that is being deleted comes last.
func inCharge(a, b *v1beta1.Canary) bool {
	if leavingA, leavingB := a.DeletionTimestamp != nil, b.DeletionTimestamp != nil; leavingA != leavingB {
		return leavingB
	}
	return a.Precedes(b)
}

func list(ctx context.Context, from client.Reader, namespace string, narrow ...client.ListOption) ([]*v1beta1.Canary, error) {
	var list v1beta1.CanaryList
	if err := from.List(ctx, &list, append(narrow, client.InNamespace(namespace))...); err != nil {
		return nil, fmt.Errorf("list the Canaries of namespace %s: %w", namespace, err)
	}
	out := make([]*v1beta1.Canary, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out, nil
}
