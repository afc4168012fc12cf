package core

import "fmt"

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
