package webhook

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

// What the API server is asked whether a user may do: create canaries/<verb>.
const (
	verbResource = "canaries"
	verbRight    = "create"
)

// verbGate answers requests that set a verb on a Canary. Unlike the other gates it refuses what it cannot look at: a verb is worth nothing without that.
type verbGate struct {
	cache client.Reader
	write client.Writer
	key   func(context.Context) ([]byte, error)
	now   func() time.Time
}

func (g verbGate) handle(ctx context.Context, req admission.Request) (answer, error) {
	facts, err := g.gather(ctx, req)
	if err != nil {
		return answer{denials: []string{fmt.Sprintf("annotation %s could not be looked at, try again: %v", v1beta1.AnnotationVerb, err)}}, nil
	}
	if facts.Old == nil || facts.New == nil || beingDeleted(facts.Old) || beingDeleted(facts.New) {
		return answer{}, nil
	}
	out := DecideVerb(facts)
	a := answer{patches: out.Patches}
	switch {
	case out.Forbidden != "":
		a.denials, a.forbidden = []string{out.Forbidden}, true
	case out.Denial != "":
		a.denials = []string{out.Denial}
	}
	return a, nil
}

// gather finds out what the request is about. Only a verb that is set costs requests.
func (g verbGate) gather(ctx context.Context, req admission.Request) (VerbFacts, error) {
	f := VerbFacts{User: req.UserInfo.Username, ID: string(req.UID), Now: g.now()}
	var err error
	if f.Old, err = decode(req.OldObject); err != nil {
		return f, fmt.Errorf("old object: %w", err)
	}
	if f.New, err = decode(req.Object); err != nil {
		return f, fmt.Errorf("object: %w", err)
	}
	if f.Old == nil || f.New == nil {
		return f, nil
	}
	verb, readable := readableVerb(f.Old, f.New)
	if !readable {
		return f, nil
	}
	err = g.lookAt(ctx, req, verb.Name, &f)
	return f, err
}

// readableVerb is the verb that a request sets, if it sets one that anybody could be asked about. What is wrong with another one DecideVerb says.
func readableVerb(before, after *unstructured.Unstructured) (v1beta1.Verb, bool) {
	verb, err := v1beta1.ParseVerb(newVerb(before, after))
	return verb, err == nil
}

// lookAt finds out whether the user may do a verb, and, if so, what else it takes to judge and to sign it.
func (g verbGate) lookAt(ctx context.Context, req admission.Request, verb v1beta1.VerbName, f *VerbFacts) error {
	f.Canary = &v1beta1.Canary{}
	if problem := read(req.OldObject.Raw, f.Canary); problem != "" {
		return fmt.Errorf("the Canary as it is stored: %s", problem)
	}
	var err error
	if f.May, err = g.allowed(ctx, req, verb); err != nil || !f.May {
		return err
	}
	if verb == v1beta1.VerbRestore {
		if f.Stored, err = g.stored(ctx, f.Canary); err != nil {
			return err
		}
	}
	if g.key == nil {
		return fmt.Errorf("there is no key to sign with")
	}
	f.Key, err = g.key(ctx)
	return err
}

// allowed asks the API server whether the user of a request may do something to its Canary.
func (g verbGate) allowed(ctx context.Context, req admission.Request, verb v1beta1.VerbName) (bool, error) {
	user := req.UserInfo
	review := &authorizationv1.LocalSubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, Groups: user.Groups, UID: user.UID,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: req.Namespace, Verb: verbRight, Group: v1beta1.GroupVersion.Group, Version: v1beta1.GroupVersion.Version,
			Resource: verbResource, Subresource: string(verb), Name: req.Name,
		},
	}}
	review.Namespace = req.Namespace
	for key, values := range user.Extra {
		if review.Spec.Extra == nil {
			review.Spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		review.Spec.Extra[key] = authorizationv1.ExtraValue(values)
	}
	if err := g.write.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether %s may %s: %w", user.Username, verb, err)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

// stored lists the revisions that are stored of a Canary's target.
func (g verbGate) stored(ctx context.Context, c *v1beta1.Canary) (map[string]bool, error) {
	target := revision.Target{Kind: c.Spec.TargetRef.Kind, Name: c.Spec.TargetRef.Name}
	list := &appsv1.ControllerRevisionList{}
	if err := g.cache.List(ctx, list, client.InNamespace(c.Namespace), client.MatchingLabels(revision.Selector(target))); err != nil {
		return nil, fmt.Errorf("list the stored revisions: %w", err)
	}
	out := map[string]bool{}
	for i := range list.Items {
		if s, err := revision.Decode(&list.Items[i]); err == nil && s.Target == target {
			out[s.Digest] = true
		}
	}
	return out, nil
}
