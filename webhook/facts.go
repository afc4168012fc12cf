package webhook

import (
	"context"
	"sync"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/api/validation"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// lookupBudget is the part of Budget that the search for missing references may take, so that time is left for the baseline. What was not looked up is
// not claimed.
const lookupBudget = 500 * time.Millisecond

// factFinder gathers what the validation of a Canary depends on. Canaries are admitted seldom, so it reads from the API server: two Canaries
// of one "kubectl apply -f dir/" are milliseconds apart, less than a cache is behind.
type factFinder struct {
	cache  client.Reader
	live   client.Reader
	mapper meta.RESTMapper
	// selectorLabels are the keys among which a target's selector label is sought; the default ones when empty.
	selectorLabels []string
	// ignoreConfigs tells that configs are not tracked.
	ignoreConfigs bool
}

// find returns the facts. An error comes with the facts that could be found.
func (f factFinder) find(ctx context.Context, c *v1beta1.Canary) (validation.Facts, error) {
	peers, err := f.peers(ctx, c)
	missing, templates := f.look(ctx, validation.References(c))
	target := f.target(ctx, c)
	changeable, oneNode := f.ephemeralLimits(ctx, c, target)
	return validation.Facts{
		Peers: peers, Missing: missing, Templates: templates, Target: describe(target), OnlyTarget: f.onlyTarget(ctx, c.Namespace, target),
		NoMirror: f.noMirror(ctx, c), ChangeableConfigs: changeable, OneNodeVolumes: oneNode,
	}, err
}

// target reads the target; nil while it cannot be read. One that is missing is told of as such; the reconciler looks at what it is when it comes.
func (f factFinder) target(ctx context.Context, c *v1beta1.Canary) *unstructured.Unstructured {
	ref := c.Spec.TargetRef
	if ref.Name == "" || ref.Kind != revision.DaemonSet && ref.Kind != revision.Deployment && !c.TargetsService() {
		return nil
	}
	ctx, cancel := spend(ctx, lookupBudget)
	defer cancel()
	u := targetOf(c)
	if err := f.live.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
		return nil
	}
	return u
}

// describe tells what a DaemonSet is like: on each of its nodes a primary is to run beside it; and a Service, of which copies are to be made. Nil of other
// kinds.
func describe(u *unstructured.Unstructured) *validation.Workload {
	if u != nil && u.GetKind() == revision.Service {
		return &validation.Workload{LeadsNowhere: revision.LeadsNowhere(u), Ports: revision.ServicePorts(u)}
	}
	if u == nil || u.GetKind() != revision.DaemonSet {
		return nil
	}
	out := &validation.Workload{RollsOut: revision.RollsOut(u)}
	var ports []int64
	if ports, out.HostNetwork = revision.HostPorts(u); len(ports) > 0 {
		out.HostPort = ports[0]
	}
	return out
}

// onlyTarget names what selects the pods of a target and not those of its primary. What was not looked up in time, or may not be, is not claimed.
func (f factFinder) onlyTarget(ctx context.Context, namespace string, target *unstructured.Unstructured) []string {
	if target == nil || target.GetKind() == revision.Service {
		return nil
	}
	s, _, err := revision.Take(target, nil)
	if err != nil {
		return nil
	}
	ctx, cancel := spend(ctx, lookupBudget)
	defer cancel()
	var budgets policyv1.PodDisruptionBudgetList
	var policies networkingv1.NetworkPolicyList
	var lists sync.WaitGroup
	for _, list := range []client.ObjectList{&budgets, &policies} {
		lists.Go(func() {
			// What could not be listed stays empty.
			_ = f.live.List(ctx, list, client.InNamespace(namespace))
		})
	}
	lists.Wait()
	names, err := revision.Bystanders{Budgets: budgets.Items, Policies: policies.Items}.OnlyTarget(s, f.selectorLabels)
	if err != nil {
		return nil
	}
	return names
}

func (f factFinder) peers(ctx context.Context, c *v1beta1.Canary) ([]validation.Peer, error) {
	var list v1beta1.CanaryList
	if err := f.live.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
		if err := f.cache.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
			return nil, err
		}
	}
	var peers []validation.Peer
	for i := range list.Items {
		if list.Items[i].Name != c.Name {
			peers = append(peers, validation.PeerOf(&list.Items[i]))
		}
	}
	return peers, nil
}

// look returns the references that certainly do not exist, and the MetricTemplates among those that do. One that may not be read, or not in
// time, counts as existing.
func (f factFinder) look(ctx context.Context, refs []validation.Reference) (missing []validation.Reference, templates []v1beta1.MetricTemplate) {
	ctx, cancel := spend(ctx, lookupBudget)
	defer cancel()
	type object struct{ apiVersion, kind, namespace, name string }
	exists := map[object]bool{}
	for _, ref := range refs {
		o := object{ref.APIVersion, ref.Kind, ref.Namespace, ref.Name}
		if _, asked := exists[o]; !asked && ref.Kind == v1beta1.MetricTemplateKind {
			var found *v1beta1.MetricTemplate
			if found, exists[o] = f.template(ctx, ref); found != nil {
				templates = append(templates, *found)
			}
		} else if !asked {
			exists[o] = f.exists(ctx, ref)
		}
		if !exists[o] {
			missing = append(missing, ref)
		}
	}
	return missing, templates
}

// template reads a MetricTemplate as a whole, since its query is judged with the Canary's values; nil when it cannot be read.
func (f factFinder) template(ctx context.Context, ref validation.Reference) (found *v1beta1.MetricTemplate, exists bool) {
	if ref.Name == "" {
		return nil, true
	}
	var t v1beta1.MetricTemplate
	err := f.live.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &t)
	if err != nil {
		return nil, !apierrors.IsNotFound(err)
	}
	return &t, true
}

func (f factFinder) exists(ctx context.Context, ref validation.Reference) bool {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || ref.Name == "" {
		// Validation has a word of its own for these.
		return true
	}
	// The version in a reference may be one that the cluster no longer serves, or never did.
	mapping, err := f.mapper.RESTMapping(schema.GroupKind{Group: gv.Group, Kind: ref.Kind})
	if err != nil {
		return !meta.IsNoMatchError(err)
	}
	var object metav1.PartialObjectMetadata
	object.SetGroupVersionKind(mapping.GroupVersionKind)
	err = f.live.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &object)
	return !apierrors.IsNotFound(err)
}
