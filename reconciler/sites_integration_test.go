//go:build integration

package reconciler

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/reconciler/revision"
)

// Every place at which the API server's own types let a container read a ConfigMap or Secret is found in the template as it is stored, sidecars that are
// init containers included. The credentials of image pulls and of volume drivers are read by no container.
func TestReferenceSites(t *testing.T) {
	t.Parallel()
	s := &stage{T: t}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sites-"}}
	if err := shared.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	s.ns = ns.Name
	named := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	container := func(prefix string, policy *corev1.ContainerRestartPolicy) corev1.Container {
		return corev1.Container{
			Name: prefix, Image: "web:1", RestartPolicy: policy,
			Env: []corev1.EnvVar{
				{Name: "A", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named(prefix + "-env"), Key: "k"}}},
				{Name: "B", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: named(prefix + "-env"), Key: "k", Optional: new(true),
				}}},
			},
			EnvFrom: []corev1.EnvFromSource{
				{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named(prefix + "-from"), Optional: new(true)}},
				{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named(prefix + "-from")}},
			},
		}
	}
	always := corev1.ContainerRestartPolicyAlways
	l := map[string]string{"app": "sites"}
	s.create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "sites"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: l}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: l},
			Spec: corev1.PodSpec{
				ImagePullSecrets: []corev1.LocalObjectReference{named("pull")},
				InitContainers:   []corev1.Container{container("init", nil), container("sidecar", &always)},
				Containers:       []corev1.Container{container("main", nil)},
				Volumes: []corev1.Volume{
					{Name: "a", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("volume")}}},
					{Name: "b", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "volume", Optional: new(true)}}},
					{Name: "c", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
						{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("projected"), Optional: new(true)}},
						{Secret: &corev1.SecretProjection{LocalObjectReference: named("projected")}},
					}}}},
					{Name: "d", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "csi.test", NodePublishSecretRef: &corev1.LocalObjectReference{Name: "driver"}}}},
				},
			},
		}},
	})
	stored := empty(deployments{})
	if err := shared.admin.Get(t.Context(), s.key("sites"), stored); err != nil {
		t.Fatal(err)
	}
	template, err := revision.TemplateOf(stored)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := revision.ConfigRefs(template)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ref := range refs {
		key := ref.Key()
		if ref.Optional {
			key += "?"
		}
		got = append(got, key)
	}
	want := []string{
		"configmap/init-env", "configmap/init-from?", "configmap/main-env", "configmap/main-from?", "configmap/projected?", "configmap/sidecar-env",
		"configmap/sidecar-from?", "configmap/volume", "secret/init-env?", "secret/init-from", "secret/main-env?", "secret/main-from", "secret/projected",
		"secret/sidecar-env?", "secret/sidecar-from", "secret/volume?",
	}
	if !slices.Equal(got, want) {
		t.Errorf("references\n got %v\nwant %v", got, want)
	}
}

// What a config holds counts to the last byte, and a copy holds it all: binary data, and what was immutable already.
func TestCopiesHoldEverything(t *testing.T) {
	t.Parallel()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "copies-"}}
	if err := shared.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	original := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "page"}, Immutable: new(true),
		Data: map[string]string{"a": "1"}, BinaryData: map[string][]byte{"b": {0, 255, 128}},
	}
	if err := shared.admin.Create(t.Context(), original); err != nil {
		t.Fatal(err)
	}
	content, err := contentOf(original)
	if err != nil {
		t.Fatal(err)
	}
	copied := content.ConfigMapCopy(ns.Name)
	if err := shared.admin.Create(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	again, err := contentOf(copied)
	if err != nil || again.Digest != content.Digest {
		t.Errorf("the copy holds %s, the original %s, %v", again.Digest, content.Digest, err)
	}
	for name, other := range map[string]*corev1.ConfigMap{
		"another byte":           {Data: original.Data, BinaryData: map[string][]byte{"b": {0, 255, 127}}},
		"text in place of bytes": {Data: map[string]string{"a": "1", "b": "x"}},
	} {
		if c, err := revision.ConfigMapContent(other); err != nil || c.Digest == content.Digest {
			t.Errorf("%s makes no difference, %v", name, err)
		}
	}
}
