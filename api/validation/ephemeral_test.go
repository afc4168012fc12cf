package validation

import (
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestEphemeralLimits(t *testing.T) {
	const denied = `spec.primary.lifecycle: "Ephemeral" is not possible while the target reads ConfigMap/settings, which users would meet as soon as it is changed; ` +
		`make it immutable, put a hash of its content into its name, annotate it flagger.app/config-tracking: disabled, or use Persistent`
	const left = `spec.primary.lifecycle: "Ephemeral" leaves ConfigMap/settings to be met by users as soon as it is changed; ` +
		`make it immutable, put a hash of its content into its name, or annotate it flagger.app/config-tracking: disabled`
	const volume = `spec.primary.lifecycle: "Ephemeral" has two workloads mount PersistentVolumeClaim/data, which the pods of one node only can; ` +
		`use one with ReadWriteMany, or keep both on one node`
	ephemeral := `{spec: {primary: {lifecycle: Ephemeral}}}`
	for _, tt := range []struct {
		name, patch string
		before      v1beta1.Lifecycle
		deny, warn  []string
	}{
		{name: "new", patch: ephemeral, deny: []string{denied}, warn: []string{volume}},
		{name: "switched", patch: ephemeral, before: v1beta1.LifecyclePersistent, deny: []string{denied}, warn: []string{volume}},
		{name: "as before", patch: ephemeral, before: v1beta1.LifecycleEphemeral, warn: []string{left, volume}},
		{name: "persistent", patch: `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			o.Facts.ChangeableConfigs, o.Facts.OneNodeVolumes = []string{"ConfigMap/settings"}, []string{"PersistentVolumeClaim/data"}
			c := canary(t, tt.patch)
			if tt.before != "" {
				o.Old = c.DeepCopy()
				o.Old.Spec.Analysis.Threshold++
				o.Old.Spec.Primary = &v1beta1.PrimarySpec{Lifecycle: tt.before}
			}
			denials, warnings := ValidateCanary(c, o)
			expect(t, "denials", denials, tt.deny...)
			expect(t, "warnings", warnings, tt.warn...)
		})
	}
}
