package core

import (
	"fmt"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds what differs where the target is a Service. The pods behind it are their owners' business, so that there is nothing to scale and
// nobody's images to compare; and the Service of that name is the target itself, so that there is no apex Service to turn: users come by the route, or by
// the primary's Service.
//
// Three Services lead to pods: the target, as its user wants it; the canary's, a copy of it as of the revision that ServicesIntent.Pin names, else of what
// the primary has; and the primary's, a copy as of PrimaryIntent.Revision. A pod hash is the revision itself. A workload is a Service that wants one
// endpoint at least: how many more there are is nothing that it says.

// podless tells whether the target is a Service.
func (d *decision) podless() bool { return d.in.Canary.TargetsService() }

// leadsToCanary tells whether the canary's Service leads to ready endpoints of the rollout's revision, and to no others.
func (d *decision) leadsToCanary() bool {
	s, hash := d.in.Services, d.ro().PodHash
	return s.Ready && hash != "" && s.PinnedHash == hash && s.CanaryReady > 0 && s.CanaryOther == 0
}

// targetLeadsAlike tells whether the target leads to the very endpoints that the primary's Service does.
func (d *decision) targetLeadsAlike() bool {
	s := d.in.Services
	return s.ApexOther == 0 && s.ApexReady >= s.PrimaryReady
}

// endpoints says in words what is behind a Service.
func endpoints(service string, ready int32, stale bool) string {
	text := fmt.Sprintf("%d ready endpoints behind the Service %s", ready, service)
	if stale {
		text += ", not all of them by its present revision"
	}
	return text
}

// listFirst keeps the primary's Service where it leads until ready endpoints of the rollout's revision are seen behind the canary's. The pods of a workload are
// replaced as others become ready; the endpoints of a Service go all at once.
func (d *decision) listFirst() {
	if !d.podless() {
		return
	}
	d.ro().PodHash = d.ro().Revision
	d.ensureServices()
	if d.unlisted() {
		d.plan.Primary = nil
	}
}

// unlisted tells whether the primary's Service has ready endpoints, is to be led elsewhere, and none are seen there.
func (d *decision) unlisted() bool {
	ro, s := d.ro(), d.in.Services
	if !d.podless() || ro == nil || ro.Stage != v1beta1.StagePromoting || d.in.Primary.Revision == ro.Revision {
		return false
	}
	return s.PrimaryReady > 0 && (s.PinnedHash != ro.Revision || s.CanaryReady == 0)
}
