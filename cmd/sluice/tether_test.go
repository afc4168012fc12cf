package main

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTheNamespaceOwnsTheConfigurations(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sluice-system", UID: "now"}}
	ours := metav1.OwnerReference{APIVersion: "v1", Kind: "Namespace", Name: "sluice-system", UID: "now"}
	stale, foreign := ours, metav1.OwnerReference{APIVersion: "v1", Kind: "Namespace", Name: "other", UID: "x"}
	stale.UID = "before"
	for name, c := range map[string]struct {
		have, want []metav1.OwnerReference
		changes    bool
	}{
		"none":                {nil, []metav1.OwnerReference{ours}, true},
		"ours":                {[]metav1.OwnerReference{ours}, []metav1.OwnerReference{ours}, false},
		"of a restored copy":  {[]metav1.OwnerReference{stale}, []metav1.OwnerReference{ours}, true},
		"ours and a stale":    {[]metav1.OwnerReference{ours, stale}, []metav1.OwnerReference{ours}, true},
		"somebody else's too": {[]metav1.OwnerReference{foreign}, []metav1.OwnerReference{foreign, ours}, true},
	} {
		t.Run(name, func(t *testing.T) {
			object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{OwnerReferences: slices.Clone(c.have)}}
			if changes := tie(object, namespace); changes != c.changes || !slices.Equal(object.OwnerReferences, c.want) {
				t.Errorf("changed %t: %v; want %t: %v", changes, object.OwnerReferences, c.changes, c.want)
			}
		})
	}
}
