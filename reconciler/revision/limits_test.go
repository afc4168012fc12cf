package revision

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestChangeableConfigs(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		name        string
		immutable   *bool
		annotations map[string]string
		want        bool
	}{
		{name: "settings", want: true},
		{name: "settings", immutable: &no, want: true},
		{name: "settings", immutable: &yes},
		{name: "settings-2f5b8ct9mk"},
		{name: "settings-production", want: true},
		{name: "settings-2f5b8ct9", want: true},
		{name: "settings", annotations: map[string]string{v1beta1.AnnotationConfigTracking: "disabled"}},
		{name: "settings", annotations: map[string]string{v1beta1.AnnotationRotation: v1beta1.RotationDirect}},
	} {
		meta := metav1.ObjectMeta{Name: tt.name, Annotations: tt.annotations}
		if got := ChangeableConfigMap(&corev1.ConfigMap{ObjectMeta: meta, Immutable: tt.immutable}); got != tt.want {
			t.Errorf("ConfigMap %+v: %v", tt, got)
		}
		if got := ChangeableSecret(&corev1.Secret{ObjectMeta: meta, Immutable: tt.immutable}); got != tt.want {
			t.Errorf("Secret %+v: %v", tt, got)
		}
	}
	if ChangeableSecret(&corev1.Secret{Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{Name: "token"}}) {
		t.Error("a Secret that another controller renews is never kept from pods")
	}
}

func TestClaims(t *testing.T) {
	got, err := Claims([]byte(`{"spec":{"volumes":[{"name":"a","persistentVolumeClaim":{"claimName":"data"}},{"name":"b","emptyDir":{}},
		{"name":"c","persistentVolumeClaim":{"claimName":"data"}},{"name":"d","persistentVolumeClaim":{"claimName":"logs"}}]}}`))
	if err != nil || !slices.Equal(got, []string{"data", "logs"}) {
		t.Errorf("%q, %v", got, err)
	}
	for mode, want := range map[corev1.PersistentVolumeAccessMode]bool{
		corev1.ReadWriteOnce: true, corev1.ReadWriteOncePod: true, corev1.ReadWriteMany: false, corev1.ReadOnlyMany: false,
	} {
		c := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{mode}}}
		if OneNodeOnly(c) != want {
			t.Errorf("%s: %v", mode, !want)
		}
	}
}
