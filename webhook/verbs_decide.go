package webhook

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// VerbFacts are all that a decision about a verb may look at, which somebody sets on a Canary.
type VerbFacts struct {
	// Old and New are the Canary before and after the request.
	Old, New *unstructured.Unstructured
	// Canary is the old one, with its status.
	Canary *v1beta1.Canary
	// Stored are the digests of the revisions of its target that are stored; only needed for VerbRestore.
	Stored map[string]bool
	// User is who asks, as the API server authenticated them; May tells that the API server would let them create canaries/<verb>.
	User string
	May  bool
	// ID of the request, Now the time, Key what stamps are signed with.
	ID  string
	Now time.Time
	Key []byte
}

// VerbOutcome is the answer to a request that may set a verb. Of Denial and Forbidden at most one is set.
type VerbOutcome struct {
	Patches []Operation
	// Denial says what is wrong with the verb, Forbidden why the user may not.
	Denial, Forbidden string
}

// newVerb is the verb that a request sets; empty when it sets none.
func newVerb(before, after *unstructured.Unstructured) string {
	text := after.GetAnnotations()[v1beta1.AnnotationVerb]
	if text == before.GetAnnotations()[v1beta1.AnnotationVerb] {
		return ""
	}
	return text
}

// DecideVerb returns the answer. It is a pure function. A verb that may be done is stamped; nobody else's stamp ever stays.
func DecideVerb(f VerbFacts) VerbOutcome {
	text := newVerb(f.Old, f.New)
	if text == "" {
		return VerbOutcome{Patches: keepStamp(f.Old, f.New)}
	}
	verb, err := v1beta1.ParseVerb(text)
	if err != nil {
		return VerbOutcome{Denial: err.Error()}
	}
	if !f.May {
		return VerbOutcome{Forbidden: forbidden(f.User, verb.Name, f.New)}
	}
	state := core.VerbState{Spec: &f.Canary.Spec, Status: &f.Canary.Status, Live: f.Canary.Status.CurrentRevision, Stored: f.Stored}
	if why := state.Refusal(verb); why != "" {
		return VerbOutcome{Denial: fmt.Sprintf("%s makes no sense for canary %s: %s", verb, f.New.GetName(), why)}
	}
	at := f.Now.Truncate(time.Microsecond)
	if last := f.Canary.Status.Verb; last != nil && !at.After(last.At.Time) {
		// The replica that admitted the last one has a clock that is ahead.
		at = last.At.Add(time.Microsecond)
	}
	p := newPatch(f.New)
	stamp := v1beta1.VerbStamp{ID: f.ID, By: oneLine(f.User, maxUser), At: metav1.NewMicroTime(at)}
	p.annotation(v1beta1.AnnotationVerbStamp, stamp.Sign(f.Key, f.New, text).String())
	return VerbOutcome{Patches: p.operations}
}

// keepStamp leaves a verb that was there before its stamp, and nothing else one.
func keepStamp(before, after *unstructured.Unstructured) []Operation {
	p := newPatch(after)
	stamp, stamped := before.GetAnnotations()[v1beta1.AnnotationVerbStamp]
	if _, there := after.GetAnnotations()[v1beta1.AnnotationVerb]; there && stamped {
		p.annotation(v1beta1.AnnotationVerbStamp, stamp)
	} else {
		p.dropAnnotation(v1beta1.AnnotationVerbStamp)
	}
	return p.operations
}

// forbidden says who may not do what, and which rule would let them.
func forbidden(user string, verb v1beta1.VerbName, c *unstructured.Unstructured) string {
	return fmt.Sprintf("user %q may not %s canary %s: that takes a Role in namespace %s with the rule {apiGroups: [%s], resources: [%s/%s], verbs: [%s]}",
		user, verb, c.GetName(), c.GetNamespace(), v1beta1.GroupVersion.Group, verbResource, verb, verbRight)
}
