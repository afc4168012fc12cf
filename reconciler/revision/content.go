package revision

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Content is what a ConfigMap or Secret holds, with all else left behind. It may hold secret data: never print it.
type Content struct {
	Kind Kind
	Name string
	// Digest is the content address of type and data.
	Digest string
	// Shared tells that the primary reads the very same object: it opted out of tracking, or it is a Secret of a type that other
	// controllers own and renew, such as a service account token.
	Shared bool
	// Rotated tells that changes pass straight to the primary, whose pods are replaced for it. A rotated config is shared too.
	Rotated bool

	data       map[string]string
	binaryData map[string][]byte
	secretType corev1.SecretType
}

// copiedTypes are the Secret types whose content belongs to the user.
var copiedTypes = []corev1.SecretType{"", corev1.SecretTypeOpaque, corev1.SecretTypeBasicAuth, corev1.SecretTypeSSHAuth, corev1.SecretTypeTLS}

// TrackingDisabled tells that annotations opt a config, or a workload with all its configs, out of tracking.
func TrackingDisabled(annotations map[string]string) bool {
	return strings.HasPrefix(annotations[v1beta1.AnnotationConfigTracking], "disable")
}

func rotation(annotations map[string]string) bool {
	return annotations[v1beta1.AnnotationRotation] == v1beta1.RotationDirect
}

// ConfigMapContent returns what a ConfigMap holds.
func ConfigMapContent(c *corev1.ConfigMap) (Content, error) {
	rotated := rotation(c.Annotations)
	out := Content{
		Kind: ConfigMap, Name: c.Name, Shared: rotated || TrackingDisabled(c.Annotations), Rotated: rotated, data: c.Data, binaryData: c.BinaryData,
	}
	return out.seal()
}

// SecretContent returns what a Secret holds.
func SecretContent(s *corev1.Secret) (Content, error) {
	rotated := rotation(s.Annotations)
	shared := rotated || TrackingDisabled(s.Annotations) || !slices.Contains(copiedTypes, s.Type)
	out := Content{Kind: Secret, Name: s.Name, Shared: shared, Rotated: rotated, binaryData: s.Data, secretType: s.Type}
	return out.seal()
}

func (c Content) seal() (Content, error) {
	data, binary := map[string]any{}, map[string]any{}
	for k, v := range c.data {
		data[k] = v
	}
	for k, v := range c.binaryData {
		binary[k] = v
	}
	d, err := digest(map[string]any{"type": string(c.secretType), "data": data, "binaryData": binary})
	c.Digest = d
	return c, err
}

// Ref returns the reference that this content answers.
func (c Content) Ref() ConfigRef { return ConfigRef{Kind: c.Kind, Name: c.Name} }

// ConfigMapCopy returns the immutable copy of a ConfigMap's content. Like SecretCopy it carries data and Sluice's labels only: labels and
// annotations of the original would make other tools believe that they own the copy.
func (c Content) ConfigMapCopy(namespace string) *corev1.ConfigMap {
	immutable := true
	return &corev1.ConfigMap{ObjectMeta: c.copyMeta(namespace), Immutable: &immutable, Data: c.data, BinaryData: c.binaryData}
}

// SecretCopy returns the immutable copy of a Secret's content.
func (c Content) SecretCopy(namespace string) *corev1.Secret {
	immutable := true
	return &corev1.Secret{ObjectMeta: c.copyMeta(namespace), Immutable: &immutable, Type: c.secretType, Data: c.binaryData}
}

// copyMeta names no target: a copy serves every snapshot with the same content.
func (c Content) copyMeta(namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace,
		Name:      CopyName(c.Name, c.Digest),
		Labels:    map[string]string{v1beta1.LabelTracked: v1beta1.TrackedCopy, v1beta1.LabelSnapshot: "true"},
	}
}

// copyDigest is how much of the digest a copy's name shows.
const copyDigest = 8

// CopyName returns the name of the copy of a config: <config>-primary-<digest>.
func CopyName(config, digest string) string {
	return shorten(config, "-primary-"+digest[:min(copyDigest, len(digest))])
}

// IsCopyOf tells whether name is one that CopyName gives to a copy of config.
func IsCopyOf(name, config string) bool {
	return len(name) > copyDigest && CopyName(config, name[len(name)-copyDigest:]) == name
}
