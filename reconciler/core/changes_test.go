package core

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func admittedAs(by, digest string) v1beta1.Admitted { return v1beta1.Admitted{By: by, Digest: digest} }

// Each part that differs is named with whoever changed it; a part without the stamp of its content was changed unseen, unless nothing tracked it.
func TestChanges(t *testing.T) {
	before := &Revision{Template: "t1", Configs: map[string]string{"configmap/cfg": "1", "configmap/gone": "1", "configmap/same": "1", "secret/key": "1"}}
	live := &Revision{
		Template: "t2",
		Configs:  map[string]string{"configmap/cfg": "2", "configmap/new": "1", "configmap/same": "1", "secret/key": "2"},
		Admitted: map[string]v1beta1.Admitted{
			PartTemplate: admittedAs("alice", "t2"), "configmap/cfg": admittedAs("bob", "2"), "configmap/same": admittedAs("carol", "1"),
			"secret/key": admittedAs("mallory", "1"),
		},
	}
	got := Changes(live, before)
	want := []Change{
		{Part: PartTemplate, By: "alice"}, {Part: "configmap/cfg", By: "bob"}, {Part: "configmap/gone"}, {Part: "configmap/new"},
		{Part: "secret/key", Unseen: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("changes %+v; want %+v", got, want)
	}
	if text, want := describe(got), "template by alice, configmap/cfg by bob, configmap/gone, configmap/new, secret/key"; text != want {
		t.Errorf("described as %q; want %q", text, want)
	}
	if by := Authors(got); by != "alice, bob" {
		t.Errorf("authors %q", by)
	}
	if same := Changes(live, live); len(same) != 0 {
		t.Errorf("nothing has changed, but %+v", same)
	}
}

// However many parts change, and whatever their authors are called, what is written stays bounded.
func TestChangesAreBounded(t *testing.T) {
	live := &Revision{Configs: map[string]string{}, Admitted: map[string]v1beta1.Admitted{}}
	for i := range 100 {
		key := "configmap/" + strconv.Itoa(i)
		live.Configs[key], live.Admitted[key] = "1", admittedAs(strings.Repeat("x", i), "1")
	}
	changes := Changes(live, &Revision{})
	if text := describe(changes); !strings.HasSuffix(text, ", 90 more") {
		t.Errorf("described as %q", text)
	}
	if by := Authors(changes); len([]rune(by)) > MaxAuthors {
		t.Errorf("%d characters of authors", len([]rune(by)))
	}
	if by := Authors([]Change{{By: "b"}, {By: "a"}, {By: "b"}, {}}); by != "a, b" {
		t.Errorf("authors %q", by)
	}
}

// TestUnseenChangesAreToldWhenTheRolloutBegins also holds that the first revision, which nobody tracked, is no news.
func TestUnseenChangesAreToldWhenTheRolloutBegins(t *testing.T) {
	w := newWorld(progressive())
	for range 100 {
		in := w.observe()
		if p := Decide(in); len(p.CaughtUp) > 0 {
			t.Fatalf("caught up with %v while %s", p.CaughtUp, in.Canary.Status.Phase)
		}
		w.step()
	}
	in := w.observe()
	in.Promoted = &Revision{Digest: "old", Template: in.Promoted.Template, Configs: map[string]string{"secret/key": "1"}}
	in.Live = &Revision{Digest: "new", Template: "v2", Configs: map[string]string{"secret/key": "2"}, Admitted: map[string]v1beta1.Admitted{
		PartTemplate: admittedAs("alice", "v2"),
	}}
	p := Decide(in)
	if !slices.Equal(p.CaughtUp, []string{"secret"}) {
		t.Errorf("caught up with %v", p.CaughtUp)
	}
	var told []string
	for _, e := range p.Events {
		told = append(told, e.Type+" "+e.Reason+" "+e.Message)
	}
	want := []string{
		"Normal NewRevision New revision detected! app.test revision new: template by alice, secret/key",
		"Warning CaughtUp secret/key was changed while admission was away, it is analysed like any other change",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s", strings.Join(told, "\n"))
	}
}

// TestEachObjectOfOneApplyIsToldOnce has a config follow the template before anything was done for the template alone.
func TestEachObjectOfOneApplyIsToldOnce(t *testing.T) {
	w := initialised(t, progressive(), true)
	in := w.observe()
	by := map[string]v1beta1.Admitted{PartTemplate: admittedAs("alice", "v2"), "configmap/page": admittedAs("bob", "1")}
	in.Live = &Revision{Digest: "v2", Template: "v2", Admitted: by}
	in.Canary.Status = Decide(in).Status
	in.Live = &Revision{Digest: "v2+c1", Template: "v2", Configs: map[string]string{"configmap/page": "1"}, Admitted: by}
	p := Decide(in)
	if ro := p.Status.Rollout; ro == nil || ro.Revision != "v2+c1" || ro.Stage != v1beta1.StageSettling {
		t.Fatalf("the rollout is %+v", ro)
	}
	const want = "New revision detected! app.test revision v2+c1 in place of v2: template by alice, configmap/page by bob"
	if len(p.Events) != 1 || p.Events[0].Message != want {
		t.Errorf("told %+v", p.Events)
	}
}
