package mesh

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/mesh/capability"
)

// The shipped role covers each kind that a provider writes.
func TestRightsCoverWhatProvidersWrite(t *testing.T) {
	doc, _, _ := strings.Cut(readFile(t, filepath.Join("..", "manifests", "base", "rbac", "workloads.yaml")), "\n---\n")
	var role rbacv1.ClusterRole
	if err := yaml.Unmarshal([]byte(doc), &role); err != nil {
		t.Fatal(err)
	}
	granted := func(group, resource, verb string) bool {
		return slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb)
		})
	}
	for _, name := range capability.ImplementedNames() {
		able, _ := capability.Lookup(name)
		for _, kind := range able.Writes {
			plural, _ := meta.UnsafeGuessKindToResource(kind)
			for _, verb := range []string{"get", "list", "watch", "create", "patch"} {
				if !granted(plural.Group, plural.Resource, verb) {
					t.Errorf("provider %s: the role may not %s %s", name, verb, plural.GroupResource())
				}
			}
		}
	}
}
