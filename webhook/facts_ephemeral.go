package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// ephemeralLimits tells what of a target's template does not go with an ephemeral primary, as KIND/NAME: configs that can be changed under its pods,
// and volumes that pods of one node can mount. What was not read in time, or may not be, is not claimed.
func (f factFinder) ephemeralLimits(ctx context.Context, c *v1beta1.Canary, target *unstructured.Unstructured) (changeable, oneNode []string) {
	if c.Lifecycle() != v1beta1.LifecycleEphemeral || c.TargetsService() || target == nil {
		return nil, nil
	}
	template, err := revision.TemplateOf(target)
	if err != nil {
		return nil, nil
	}
	ctx, cancel := spend(ctx, lookupBudget)
	defer cancel()
	if !f.ignoreConfigs && !revision.TrackingDisabled(target.GetAnnotations()) {
		changeable = f.changeable(ctx, c.Namespace, template)
	}
	return changeable, f.oneNode(ctx, c.Namespace, template)
}

func (f factFinder) changeable(ctx context.Context, namespace string, template []byte) (names []string) {
	refs, err := revision.ConfigRefs(template)
	if err != nil {
		return nil
	}
	for _, ref := range refs {
		key, found := types.NamespacedName{Namespace: namespace, Name: ref.Name}, false
		switch ref.Kind {
		case revision.ConfigMap:
			var o corev1.ConfigMap
			found = f.live.Get(ctx, key, &o) == nil && revision.ChangeableConfigMap(&o)
		case revision.Secret:
			var o corev1.Secret
			found = f.live.Get(ctx, key, &o) == nil && revision.ChangeableSecret(&o)
		}
		if found {
			names = append(names, string(ref.Kind)+"/"+ref.Name)
		}
	}
	return names
}

func (f factFinder) oneNode(ctx context.Context, namespace string, template []byte) (names []string) {
	claims, err := revision.Claims(template)
	if err != nil {
		return nil
	}
	for _, name := range claims {
		var o corev1.PersistentVolumeClaim
		if f.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &o) == nil && revision.OneNodeOnly(&o) {
			names = append(names, "PersistentVolumeClaim/"+name)
		}
	}
	return names
}
