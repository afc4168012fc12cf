//go:build integration

package ways

import (
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// user lets somebody edit the Canaries of the application's namespace and, beside that, what is named. It waits until the API server knows.
func (a *app) user(name string, verbs ...string) {
	a.Helper()
	resources := "canaries"
	rules := "- {apiGroups: [flagger.app], resources: [canaries], verbs: [get, list, patch, update]}\n"
	for _, v := range verbs {
		resources += ",canaries/" + v
		rules += "- {apiGroups: [flagger.app], resources: [canaries/" + v + "], verbs: [create]}\n"
	}
	a.kubectl("apply", "-f", a.file("user.yaml", "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: "+name+"}\nrules:\n"+rules+
		"---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: "+name+"}\n"+
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: "+name+"}\n"+
		"subjects: [{kind: User, name: "+name+", apiGroup: rbac.authorization.k8s.io}]\n"))
	a.allowed(name, authorizationv1.ResourceAttributes{Verb: "patch"})
	for _, v := range verbs {
		a.allowed(name, authorizationv1.ResourceAttributes{Verb: "create", Subresource: v})
	}
}

// allowed waits until somebody may do something with the Canary.
func (a *app) allowed(user string, what authorizationv1.ResourceAttributes) {
	a.Helper()
	what.Namespace, what.Group, what.Resource, what.Name = a.ns, v1beta1.GroupVersion.Group, "canaries", "web"
	a.eventually(user+" may "+what.Verb+" canaries/"+what.Subresource, func() bool {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &what}}
		if err := world.admin.Create(a.Context(), review); err != nil {
			a.Fatal(err)
		}
		return review.Status.Allowed
	})
}

// asks sets a verb as a user.
func (a *app) asks(user, verb string, more ...string) (string, error) {
	return a.try(append([]string{"annotate", "canary", "web", "--as=" + user, v1beta1.AnnotationVerb + "=" + verb}, more...)...)
}

// verb waits until a verb has an outcome and is taken off. One of the same text may have had it before.
func (a *app) verb(text string, want v1beta1.VerbOutcome) *v1beta1.VerbStatus {
	a.Helper()
	var v *v1beta1.VerbStatus
	a.eventually(text+" is "+string(want), func() bool {
		c := a.canary()
		v = c.Status.Verb
		return c.Annotations[v1beta1.AnnotationVerb] == "" && v != nil && v.Text == text && v.Outcome == want && !v.Standing
	})
	return v
}

// Who may edit a Canary may not promote for that; the answer says what is missing. Who may is named in the event.
func TestVerbsTakeARight(t *testing.T) {
	t.Parallel()
	a := half(t)
	a.user("joe")
	a.user("jane", "promote", "abort")
	out, err := a.asks("joe", "promote")
	for _, want := range []string{"Forbidden", `user "joe" may not promote canary web`, "resources: [canaries/promote]", "verbs: [create]"} {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("joe is told %q (%v), want %q", out, err, want)
		}
	}
	if out, err := a.asks("jane", "pause"); err == nil || !strings.Contains(out, "may not pause") {
		t.Errorf("jane may pause: %q", out)
	}
	if out, err := a.asks("jane", "restart"); err == nil || !strings.Contains(out, "use one of promote, abort") {
		t.Errorf("no verb is answered with %q", out)
	}
	if out, err := a.asks("jane", "abort", "--dry-run=server"); err != nil {
		t.Errorf("a dry run is refused: %s", out)
	}
	if st := a.status(); st.Verb != nil || st.CanaryWeight != 50 {
		t.Errorf("nothing was asked for, and became %+v at weight %d", st.Verb, st.CanaryWeight)
	}
	if out, err := a.asks("jane", "promote"); err != nil {
		t.Fatalf("jane may promote: %s", out)
	}
	// The gate is closed: only the verb gets past it.
	a.until("version 2 is promoted", func(st *v1beta1.CanaryStatus) bool {
		return st.Rollout == nil && st.CurrentRevision == st.PromotedRevision && a.looks()[st.PromotedRevision].runs == "web:2"
	})
	if v := a.verb("promote", v1beta1.VerbDone); v.By != "jane" {
		t.Errorf("it was done for %q", v.By)
	}
	a.eventually("an event names jane", func() bool { return strings.Contains(a.kubectl("get", "events"), "promote by jane") })
	if out, err := a.asks("jane", "abort"); err == nil || !strings.Contains(out, "no rollout is under way") {
		t.Errorf("an abort without a rollout is answered with %q", out)
	}
}

// Each verb takes its own right, and says which: whoever has all others is refused, whoever has just that one is not.
func TestEachVerbTakesItsRight(t *testing.T) {
	t.Parallel()
	a := adopted(t)
	all := []string{"promote", "abort", "pause", "resume", "retry", "skip-analysis", "restore"}
	for _, verb := range all {
		others := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return v == verb })
		a.user("may-only-"+verb, verb)
		a.user("may-not-"+verb, others...)
		text := verb
		if verb == "restore" {
			text += ":" + a.status().PromotedRevision[:12]
		}
		out, err := a.asks("may-not-"+verb, text, "--dry-run=server")
		for _, want := range []string{"Forbidden", `user "may-not-` + verb + `" may not ` + verb + " canary web", "resources: [canaries/" + verb + "]", "verbs: [create]"} {
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("who may all but %s is told %q (%v), want %q", verb, out, err, want)
			}
		}
		// Whether it makes sense now is another question, which only those hear of who may.
		a.eventually("the API server knows who may "+verb, func() bool {
			out, err = a.asks("may-only-"+verb, text, "--dry-run=server")
			return !strings.Contains(out, "may not "+verb) && !strings.Contains(out, "cannot patch")
		})
		if err != nil && !strings.Contains(out, "annotation") && !strings.Contains(out, "denied the request") {
			t.Errorf("who may %s is told %q", verb, out)
		}
	}
	if v := a.status().Verb; v != nil {
		t.Errorf("dry runs have become %+v", v)
	}
}

// A verb that admission has not seen is ignored, and people hear of it: Sluice's own account is not asked about, and does not sign either.
func TestUnseenVerbIsIgnored(t *testing.T) {
	t.Parallel()
	for _, ephemeral := range []bool{false, true} {
		a := adoptedWith(t, ephemeral)
		a.kubectl("annotate", "canary", "web", "--as=system:serviceaccount:"+ownNamespace+":sluice", v1beta1.AnnotationVerb+"=pause")
		v := a.verb("pause", v1beta1.VerbIgnored)
		if a.status().Paused != nil || !strings.Contains(v.Message, "nobody has looked whether its user may do that") {
			t.Errorf("paused %+v: %s", a.status().Paused, v.Message)
		}
		a.eventually("an event says so", func() bool { return strings.Contains(a.kubectl("get", "events"), "VerbIgnored") })
	}
}

// An aborted revision waits; retried, it is analysed from its first step, and a paused rollout stays where it is.
func TestVerbsOfOneRollout(t *testing.T) {
	t.Parallel()
	a := half(t)
	if out, err := a.asks("admin", "abort#INC-7", "--as-group=system:masters"); err != nil {
		t.Fatal(out)
	}
	a.until("version 2 is rolled back", func(st *v1beta1.CanaryStatus) bool {
		return st.Rollout == nil && st.Phase == v1beta1.PhaseFailed && st.CanaryWeight == 0
	})
	if out := a.kubectl("describe", "canary", "web"); !strings.Contains(out, "aborted by admin") || !strings.Contains(out, "INC-7") {
		t.Errorf("describe does not tell who aborted it:\n%s", out)
	}
	for _, verb := range []string{"pause", "retry"} {
		a.kubectl("annotate", "canary", "web", v1beta1.AnnotationVerb+"="+verb)
		a.verb(verb, v1beta1.VerbDone)
	}
	a.until("it waits before it begins", func(st *v1beta1.CanaryStatus) bool {
		return st.Rollout != nil && st.Rollout.Stage == v1beta1.StageConfirming && st.Condition(v1beta1.ConditionReady).Reason == "Paused"
	})
	if out := a.kubectl("get", "canary", "web", "-o", "wide"); !strings.Contains(out, "PAUSEDBY") || !strings.Contains(out, "retry") {
		t.Errorf("get shows nothing of that:\n%s", out)
	}
	a.kubectl("annotate", "canary", "web", v1beta1.AnnotationVerb+"=resume")
	a.promoted("web:2", uncounted)
}

// A restored revision serves at once. What Git holds stays, waits, and is analysed again when somebody asks for that.
func TestRestoreFromHistory(t *testing.T) {
	t.Parallel()
	a := adopted(t)
	first := a.status().PromotedRevision
	a.kubectl("apply", "-f", a.version(2))
	a.promoted("web:2", 1)
	if out, err := a.try("annotate", "canary", "web", v1beta1.AnnotationVerb+"=restore:abcdef123"); err == nil || !strings.Contains(out, first) {
		t.Errorf("a revision that is not there is answered with %q, want a list with %s", out, first)
	}
	a.kubectl("annotate", "canary", "web", v1beta1.AnnotationVerb+"=restore:"+first[:12])
	a.until("version 1 serves", func(st *v1beta1.CanaryStatus) bool {
		ready := st.Condition(v1beta1.ConditionReady)
		return st.Rollout == nil && st.PromotedRevision == first && ready.Reason == "Restored"
	})
	if image := a.target().Spec.Template.Spec.Containers[0].Image; image != "web:2" {
		t.Errorf("the target is %s, it belongs to Git", image)
	}
	a.kubectl("annotate", "canary", "web", v1beta1.AnnotationVerb+"=retry")
	a.promoted("web:2", uncounted)
}

// A manifest that names a verb asks for it once, however often it is applied.
func TestVerbInAManifest(t *testing.T) {
	t.Parallel()
	for _, way := range [][]string{{"apply"}, {"apply", "--server-side", "--force-conflicts"}} {
		a := half(t)
		manifest := strings.Replace(render(t, canaryTemplate, map[string]any{"Gate": world.server.URL, "Ephemeral": false}), "metadata:\n", "metadata:\n  annotations: {sluice.dev/verb: promote}\n", 1)
		if !strings.Contains(manifest, "sluice.dev/verb") {
			t.Fatalf("the manifest has another form:\n%s", manifest)
		}
		apply := append(way, "-f", a.file("verb.yaml", manifest))
		a.kubectl(apply...)
		a.until("version 2 is promoted", func(st *v1beta1.CanaryStatus) bool {
			return st.Rollout == nil && a.looks()[st.PromotedRevision].runs == "web:2"
		})
		done := a.status().Verb
		a.kubectl("apply", "-f", a.version(3))
		a.halfway("web:3", uncounted)
		a.kubectl(apply...)
		a.kubectl("annotate", "canary", "web", "example.com/other=1")
		a.halfway("web:3", uncounted)
		if v := a.status().Verb; v.ID != done.ID || v.Outcome != v1beta1.VerbDone || !v.Standing {
			t.Errorf("%v: the verb is now %+v, it was %+v", way, v, done)
		}
		a.promoted("web:3", uncounted)
	}
}
