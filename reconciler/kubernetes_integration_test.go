//go:build integration

package reconciler

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/reconciler/revision"
)

// kubernetes does what the controllers of Deployments, ReplicaSets, DaemonSets and EndpointSlices do; each pod is ready at once.
func (s *stage) kubernetes(ctx context.Context) {
	deployments, services := &appsv1.DeploymentList{}, &corev1.ServiceList{}
	if shared.admin.List(ctx, deployments, client.InNamespace(s.ns)) != nil || shared.admin.List(ctx, services, client.InNamespace(s.ns)) != nil {
		return
	}
	pods := map[string]labels.Set{}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		hash := s.replicaSet(ctx, d)
		if hash == "" {
			continue
		}
		for n := range *d.Spec.Replicas {
			l := labels.Set(maps.Clone(d.Spec.Template.Labels))
			l[revision.PodHashLabel] = hash
			pods[fmt.Sprintf("%s-%s-pod%02d", d.Name, hash, n)] = l
		}
	}
	s.runDaemonSets(ctx, pods)
	for i := range services.Items {
		s.endpoints(ctx, &services.Items[i], pods)
	}
}

// replicaSet makes the ReplicaSet of a Deployment's template, reports the status and returns the hash.
func (s *stage) replicaSet(ctx context.Context, d *appsv1.Deployment) string {
	if d.DeletionTimestamp != nil {
		return ""
	}
	raw, err := json.Marshal(d.Spec.Template)
	if err != nil {
		s.Error(err)
	}
	h := fnv.New32a()
	_, _ = h.Write(raw)
	hash := strings.NewReplacer("0", "b", "1", "c", "3", "d").Replace(strconv.FormatUint(uint64(h.Sum32()), 10))
	status := appsv1.DeploymentStatus{ObservedGeneration: d.Generation}
	if _, ran := s.running.Load(d.UID); ran && d.Spec.Paused {
		status.Replicas, status.ReadyReplicas, status.AvailableReplicas = *d.Spec.Replicas, *d.Spec.Replicas, *d.Spec.Replicas
	}
	if !d.Spec.Paused {
		n := *d.Spec.Replicas
		status.Replicas, status.UpdatedReplicas, status.ReadyReplicas, status.AvailableReplicas = n, n, n, n
		if s.stuck.Load() && d.Name == "web-primary" {
			status.Replicas, status.UpdatedReplicas = n+1, 1
		}
		template := *d.Spec.Template.DeepCopy()
		template.Labels[revision.PodHashLabel] = hash
		rs := &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: s.ns, Name: d.Name + "-" + hash, Labels: template.Labels,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
			},
			Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
		}
		if err := shared.admin.Create(ctx, rs); err != nil && !apierrors.IsAlreadyExists(err) {
			return ""
		}
	}
	if s.resolve != nil && !d.Spec.Paused && *d.Spec.Replicas > 0 && !s.resolved(ctx, d, hash) {
		return ""
	}
	if !equality.Semantic.DeepEqual(d.Status, status) {
		d.Status = status
		// A conflict is made up for in the next round.
		_ = shared.admin.Status().Update(ctx, d)
	}
	if d.Spec.Paused {
		// What ran before goes on running.
		last, _ := s.running.Load(d.UID)
		hash, _ = last.(string)
		return hash
	}
	s.running.Store(d.UID, hash)
	return hash
}

// endpoints brings a Service's EndpointSlice to the pods that it selects.
func (s *stage) endpoints(ctx context.Context, svc *corev1.Service, pods map[string]labels.Set) {
	if len(svc.Spec.Selector) == 0 {
		return
	}
	want := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: s.ns, Name: svc.Name + "-slice", Labels: maps.Clone(svc.Labels)},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	if want.Labels == nil {
		want.Labels = map[string]string{}
	}
	want.Labels[discoveryv1.LabelServiceName] = svc.Name
	for _, name := range sorted(pods) {
		if labels.SelectorFromSet(svc.Spec.Selector).Matches(pods[name]) {
			want.Endpoints = append(want.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{"10.0.0.1"}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name},
			})
		}
	}
	have := &discoveryv1.EndpointSlice{}
	if err := shared.admin.Get(ctx, client.ObjectKeyFromObject(want), have); apierrors.IsNotFound(err) {
		_ = shared.admin.Create(ctx, want)
		return
	}
	if !equality.Semantic.DeepEqual(have.Labels, want.Labels) || !equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) {
		have.Labels, have.Endpoints = want.Labels, want.Endpoints
		_ = shared.admin.Update(ctx, have)
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	// Insertion into a slice of a few names; the order only has to be the same each time.
	for i := range keys {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	return keys
}
