package reconciler

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// deployments is how Deployments are read and written.
type deployments struct{}

func (deployments) kind() schema.GroupVersionKind {
	return appsv1.SchemeGroupVersion.WithKind(revision.Deployment)
}

func (deployments) counts(u *unstructured.Unstructured) core.Workload {
	replicas, found, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	if !found {
		replicas = 1
	}
	return core.Workload{
		Replicas:  int32(replicas),
		Total:     statusCount(u, "replicas"),
		Updated:   statusCount(u, "updatedReplicas"),
		Available: statusCount(u, "availableReplicas"),
	}
}

func (deployments) scale(u *unstructured.Unstructured, replicas int32) error {
	if err := unstructured.SetNestedField(u.Object, int64(replicas), "spec", "replicas"); err != nil {
		return fmt.Errorf("spec.replicas: %w", err)
	}
	return nil
}

func (deployments) history() schema.GroupVersionKind {
	return appsv1.SchemeGroupVersion.WithKind("ReplicaSet")
}

func (deployments) hash(replicaSet, target *unstructured.Unstructured) (string, error) {
	template, err := revision.TemplateOf(target)
	if err != nil {
		return "", err
	}
	return revision.PodHash(replicaSet, template)
}

func (deployments) hashLabel() string { return revision.PodHashLabel }

// pods goes by the names that a Deployment's ReplicaSet gives: <deployment>-<hash>-<random>. Any hash can be accepted because no hash contains a
// dash, so that the pods of "web" are not taken for those of "web-primary".
func (deployments) pods(name, hash string) func(pod, pinned string) bool {
	if hash != "" {
		return func(pod, _ string) bool { return generated(pod, name+"-"+hash+"-") }
	}
	return func(pod, _ string) bool {
		if len(name) >= maxBase {
			return generated(pod, name)
		}
		rest, ok := strings.CutPrefix(pod, name+"-")
		set, random, dash := strings.Cut(rest, "-")
		if !dash {
			return ok && set != "" && len(pod) == maxBase+randomTail
		}
		return ok && set != "" && len(random) == randomTail
	}
}

func (deployments) obstacles(*unstructured.Unstructured) []string { return nil }
