package validation

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	fieldTarget     = "spec.targetRef"
	fieldTargetName = "spec.targetRef.name"
	fieldTargetKind = "spec.targetRef.kind"

	// maxNameLength is that of a label value and of a Service name.
	maxNameLength = 63
)

// target denies kinds that cannot be rolled out.
func (r *review) target() {
	ref := r.canary.Spec.TargetRef
	if ref.Name == "" {
		r.deny(fieldTargetName, nil, "is required; name the workload to roll out")
	}
	known := []string{"Deployment", "DaemonSet", "Service"}
	switch {
	case !slices.Contains(known, ref.Kind):
		r.deny(fieldTargetKind, ref.Kind, "cannot be rolled out; use one of %s", list(r.opts.Features.TargetKinds))
	case !slices.Contains(r.opts.Features.TargetKinds, ref.Kind):
		r.deny(fieldTargetKind, ref.Kind, "is not available in this version; use one of %s", list(r.opts.Features.TargetKinds))
	case r.canary.TargetsKnative():
		r.deny("spec.targetRef.apiVersion", ref.APIVersion, "is that of Knative, which is not available in this version; use v1 for a Service of Kubernetes")
	}
}

// retargeted denies another target in place of one that was taken up: that would stay as the rollouts left it, at zero, with nobody to give it back.
func (r *review) retargeted() {
	old, ref := r.opts.Old, r.canary.Spec.TargetRef
	if old == nil || sameObject(old.Spec.TargetRef, ref) || !takenUp(&old.Status) {
		return
	}
	was := old.Spec.TargetRef
	r.deny(fieldTarget, ref.Kind+"/"+ref.Name, "cannot take the place of %s/%s, which would not be given back; "+
		"delete the Canary, which gives it back, and create it anew", was.Kind, was.Name)
}

// takenUp tells whether a target was looked at. One that did not exist may have been a slip of the pen.
func takenUp(st *v1beta1.CanaryStatus) bool {
	return st.CurrentRevision != "" || st.Phase != "" && st.Phase != v1beta1.PhaseInitializing
}

// peers denies a second Canary on one target or one Service name: two controllers of one object would undo each other.
func (r *review) peers() {
	self := PeerOf(r.canary)
	for _, p := range r.opts.Facts.Peers {
		if p.Name == self.Name || p.Deleting {
			continue
		}
		first := r.opts.Creating || p.Precedes(self)
		switch {
		case sameObject(p.TargetRef, self.TargetRef):
			r.sharedTarget(first, self.TargetRef.Kind+"/"+self.TargetRef.Name, p.Name)
		case p.TargetRef.Name+"-primary" == self.TargetRef.Name && sameKind(p.TargetRef, self.TargetRef):
			r.deny(fieldTargetName, self.TargetRef.Name, "is the primary of Canary %s; target %s in one Canary only",
				p.Name, p.TargetRef.Name)
		case p.ServiceName == self.ServiceName && p.ServiceName != "":
			r.sharedService(first, self.ServiceName, p.Name)
		}
	}
}

// sharedTarget denies where the other Canary comes first, and warns where this one does.
func (r *review) sharedTarget(otherFirst bool, target, other string) {
	if otherFirst {
		r.deny(fieldTarget, target, "is already the target of Canary %s; delete one of the two", other)
		return
	}
	r.warn(fieldTarget, target, "is already the target of Canary %s; delete one of the two; this one is in charge meanwhile", other)
}

// sharedService is the same for the name of the Services.
func (r *review) sharedService(otherFirst bool, service, other string) {
	const field = "spec.service.name"
	if otherFirst {
		r.deny(field, service, "is already the Service of Canary %s; choose another name", other)
		return
	}
	r.warn(field, service, "is already the Service of Canary %s; choose another name; this one is in charge meanwhile", other)
}

func sameObject(a, b v1beta1.LocalObjectReference) bool { return a.Name == b.Name && sameKind(a, b) }

// sameKind compares group and kind: two versions of one kind are the same objects.
func sameKind(a, b v1beta1.LocalObjectReference) bool {
	ga, gb := schema.FromAPIVersionAndKind(a.APIVersion, a.Kind), schema.FromAPIVersionAndKind(b.APIVersion, b.Kind)
	return ga.GroupKind() == gb.GroupKind()
}

// lifecycle denies an ephemeral primary where there are no pods.
func (r *review) lifecycle() {
	const field = "spec.primary.lifecycle"
	p := r.canary.Spec.Primary
	if p == nil {
		return
	}
	switch p.Lifecycle {
	case "", v1beta1.LifecyclePersistent:
		if p.Retain != "" {
			r.warn("spec.primary.retain", string(p.Retain), "has no effect on a primary that always serves; remove it")
		}
	case v1beta1.LifecycleEphemeral:
		if r.canary.TargetsService() {
			r.deny(field, string(p.Lifecycle), "is not possible with a Service, which has no pods of its own; use Persistent or remove the field")
		}
	default:
		r.deny(field, string(p.Lifecycle), "is not a lifecycle; use Persistent or Ephemeral")
	}
	r.duration("spec.primary.retain", p.Retain, 0)
}

// ephemeral denies an ephemeral primary beside configs that users would meet changed before anybody has analysed them, and warns of volumes for which
// its pods may have to wait. Of a Canary that has one already, the former is a warning: what the target becomes later must not keep anybody from
// changing its Canary.
func (r *review) ephemeral() {
	const field = "spec.primary.lifecycle"
	if r.canary.Lifecycle() != v1beta1.LifecycleEphemeral {
		return
	}
	old, facts := r.opts.Old, r.opts.Facts
	before := old != nil && old.Lifecycle() == v1beta1.LifecycleEphemeral && sameObject(old.Spec.TargetRef, r.canary.Spec.TargetRef)
	for _, name := range facts.ChangeableConfigs {
		if before {
			r.warn(field, string(v1beta1.LifecycleEphemeral), "leaves %s to be met by users as soon as it is changed; "+
				"make it immutable, put a hash of its content into its name, or annotate it flagger.app/config-tracking: disabled", name)
			continue
		}
		r.deny(field, string(v1beta1.LifecycleEphemeral), "is not possible while the target reads %s, which users would meet as soon as it is changed; "+
			"make it immutable, put a hash of its content into its name, annotate it flagger.app/config-tracking: disabled, or use Persistent", name)
	}
	for _, name := range facts.OneNodeVolumes {
		r.warn(field, string(v1beta1.LifecycleEphemeral), "has two workloads mount %s, which the pods of one node only can; use one with ReadWriteMany, or "+
			"keep both on one node", name)
	}
}

// names warns of names that are too long for labels and Services, and of a target that looks like a primary.
func (r *review) names() {
	apex, primary, _ := r.canary.ServiceNames()
	if len(primary) > maxNameLength {
		r.warn("spec.service.name", apex, "makes the Service name %s longer than %d characters; use at most %d",
			primary, maxNameLength, maxNameLength-len("-primary"))
	}
	target := r.canary.Spec.TargetRef.Name
	if name := r.canary.PrimaryName(); len(name) > maxNameLength && name != primary {
		r.warn(fieldTargetName, target, "makes the primary's name %s longer than %d characters, too long for a label",
			name, maxNameLength)
	}
	if strings.HasSuffix(target, "-primary") {
		r.warn(fieldTargetName, target, "looks like a primary made for another Canary; target the workload itself")
	}
}
