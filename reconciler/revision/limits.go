package revision

import (
	"regexp"

	corev1 "k8s.io/api/core/v1"
)

// This file tells what keeps a template from living with an ephemeral primary.

// hashed matches a name that ends with the hash of the content, as generators of Kustomize make it: a change of the content is another object.
var hashed = regexp.MustCompile(`-[2456789bcdfghkmt]{10}$`)

// ChangeableConfigMap tells whether pods may come to read content of a ConfigMap that its tracking would have to keep from them: it is tracked,
// and neither immutable nor named by a hash of its content.
func ChangeableConfigMap(c *corev1.ConfigMap) bool {
	content, err := ConfigMapContent(c)
	return err == nil && changeable(content, c.Immutable)
}

// ChangeableSecret is the same of a Secret.
func ChangeableSecret(s *corev1.Secret) bool {
	content, err := SecretContent(s)
	return err == nil && changeable(content, s.Immutable)
}

func changeable(c Content, immutable *bool) bool {
	return !c.Shared && (immutable == nil || !*immutable) && !hashed.MatchString(c.Name)
}

// Claims returns the names of the PersistentVolumeClaims that a raw pod template mounts, each once, in their order.
func Claims(template []byte) ([]string, error) {
	t, err := decodeTemplate(template)
	if err != nil {
		return nil, err
	}
	var names []string
	seen := map[string]bool{}
	for _, v := range objects(object(t, "spec"), "volumes") {
		name, _ := object(v, "persistentVolumeClaim")["claimName"].(string)
		if name != "" && !seen[name] {
			names, seen[name] = append(names, name), true
		}
	}
	return names, nil
}

// OneNodeOnly tells whether a claim can be mounted by the pods of one node only, so that pods of two workloads may have to wait for each other.
func OneNodeOnly(c *corev1.PersistentVolumeClaim) bool {
	for _, mode := range c.Spec.AccessModes {
		if mode == corev1.ReadWriteMany || mode == corev1.ReadOnlyMany {
			return false
		}
	}
	return len(c.Spec.AccessModes) > 0
}
