package validation

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Peer is another Canary in the same namespace.
type Peer struct {
	Name        string
	TargetRef   v1beta1.LocalObjectReference
	ServiceName string // of the apex Service
	Created     metav1.Time
	Deleting    bool
}

// PeerOf describes a Canary to the others in its namespace.
func PeerOf(c *v1beta1.Canary) Peer {
	apex, _, _ := c.ServiceNames()
	return Peer{
		Name: c.Name, TargetRef: c.Spec.TargetRef, ServiceName: apex,
		Created: c.CreationTimestamp, Deleting: c.DeletionTimestamp != nil,
	}
}

// Precedes tells which of two Canaries on one target is in charge: the older, then the first by name. One without a
// creation time is the younger.
func (p Peer) Precedes(o Peer) bool {
	switch {
	case p.Created.IsZero() != o.Created.IsZero():
		return o.Created.IsZero()
	case !p.Created.Equal(&o.Created):
		return p.Created.Before(&o.Created)
	default:
		return p.Name < o.Name
	}
}
