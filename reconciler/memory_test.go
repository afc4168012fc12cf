package reconciler

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
	"github.com/sluice-dev/sluice/reconciler/revision"
)

func serviceAt(version string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web", ResourceVersion: version}}
}

func TestAWriteIsPreferredUntilTheCacheHasIt(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(time.Unix(0, 0))
	w := newWritten(clock)
	w.wrote(serviceAt("100"))
	if got := latest(w, serviceAt("99")); got.ResourceVersion != "100" {
		t.Errorf("a stale cache shows version %s", got.ResourceVersion)
	}
	if got := latest(w, serviceAt("101")); got.ResourceVersion != "101" {
		t.Errorf("a newer object is hidden by version %s", got.ResourceVersion)
	}
	// Once the cache has caught up an older state can only be a rewound cluster, which is believed.
	if got := latest(w, serviceAt("99")); got.ResourceVersion != "99" {
		t.Errorf("the note was kept: version %s", got.ResourceVersion)
	}
	w.wrote(serviceAt("200"))
	clock.SetTime(time.Unix(0, 0).Add(2 * remember))
	if got := latest(w, serviceAt("150")); got.ResourceVersion != "150" {
		t.Errorf("a cache that is cut off is never believed again: version %s", got.ResourceVersion)
	}
	other := serviceAt("1")
	other.Name = "other"
	w.wrote(serviceAt("300"))
	if got := latest(w, other); got.Name != "other" {
		t.Error("another object was returned")
	}
}

func TestAListHoldsWhatWasJustCreated(t *testing.T) {
	w := newWritten(testingclock.NewFakePassiveClock(time.Unix(0, 0)))
	w.wrote(serviceAt("5"))
	all := func(*corev1.Service) bool { return true }
	if got := latestList(w, nil, all); len(got) != 1 || got[0].ResourceVersion != "5" {
		t.Errorf("the new object is missing: %v", got)
	}
	if got := latestList(w, []*corev1.Service{serviceAt("4")}, all); len(got) != 1 || got[0].ResourceVersion != "5" {
		t.Errorf("the stale object is listed: %v", got)
	}
	w.gone(serviceAt(""))
	if got := latestList(w, nil, all); len(got) != 0 {
		t.Errorf("a deleted object is listed: %v", got)
	}
}

func TestTheCacheHoldsNoSecret(t *testing.T) {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token", ResourceVersion: "7"}, Data: map[string][]byte{"t": []byte("hush")}}
	want, err := contentOf(s)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a cache may hand an object in again
		out, err := digestOnly(s)
		if err != nil {
			t.Fatal(err)
		}
		s = out.(*corev1.Secret)
		if len(s.Data) != 0 {
			t.Error("the cache holds the data")
		}
		if got, err := contentOf(s); err != nil || got.Digest != want.Digest {
			t.Errorf("digest %s, %v, want %s", got.Digest, err, want.Digest)
		}
	}
	// An annotation that a user stored is no digest.
	forged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token", ResourceVersion: "9", Annotations: map[string]string{annotationContent: "8/" + want.Digest}}}
	if got, err := contentOf(forged); err != nil || got.Digest == want.Digest {
		t.Errorf("a forged digest was believed: %v", err)
	}
}

func TestRefsWakeTheRightCanaries(t *testing.T) {
	r := &Reconciler{}
	x := &r.refs
	a, b := types.NamespacedName{Namespace: "prod", Name: "a"}, types.NamespacedName{Namespace: "test", Name: "b"}
	refs := []revision.ConfigRef{{Kind: revision.Secret, Name: "token"}}
	x.note(a, refs)
	x.note(b, refs)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "token", Labels: map[string]string{v1beta1.LabelTracked: v1beta1.TrackedConfig}}}
	if got := r.forConfig(t.Context(), secret); len(got) != 1 || got[0].NamespacedName != a {
		t.Errorf("a changed Secret wakes %v, want %v", got, a)
	}
	twin := &corev1.ConfigMap{ObjectMeta: secret.ObjectMeta}
	if got := r.forConfig(t.Context(), twin); len(got) != 0 {
		t.Errorf("a ConfigMap of the same name wakes %v", got)
	}
	secret.Name, secret.Labels[v1beta1.LabelTracked] = revision.CopyName("token", "0123456789"), v1beta1.TrackedCopy
	if got := r.forConfig(t.Context(), secret); len(got) != 1 || got[0].NamespacedName != a {
		t.Errorf("a changed copy wakes %v, want %v", got, a)
	}
	r.refs.drop(a)
	if got := r.forConfig(t.Context(), secret); len(got) != 0 {
		t.Errorf("a Canary that is gone is woken: %v", got)
	}
}

func workload(uid, image string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"uid": uid, "name": "web-primary"},
		"spec":     map[string]any{"replicas": int64(2), "template": map[string]any{"image": image}},
	}}
}

// TestWhatAServerAddsIsNotFought: the API server makes "web:1+default" of each "web:1".
func TestWhatAServerAddsIsNotFought(t *testing.T) {
	var s settled
	want, got := workload("", "web:1"), workload("1", "web:1+default")
	if s.is(got, workload("1", "web:1")) {
		t.Error("a difference was accepted before it was tried to write")
	}
	s.note(want, got)
	if !s.is(got, workload("1", "web:1")) {
		t.Error("the same write would be tried again and again")
	}
	for name, pair := range map[string][2]*unstructured.Unstructured{
		"another template is wanted": {got, workload("1", "web:2")},
		"somebody changed it":        {workload("1", "evil"), workload("1", "web:1")},
		"another object":             {workload("2", "web:1+default"), workload("2", "web:1")},
	} {
		if s.is(pair[0], pair[1]) {
			t.Errorf("%s: not written", name)
		}
	}
	scaled := workload("1", "web:1")
	if err := unstructured.SetNestedField(scaled.Object, int64(3), "spec", "replicas"); err != nil {
		t.Fatal(err)
	}
	if s.is(got, scaled) {
		t.Error("a difference outside of the template was swallowed")
	}
}

func TestAnUpgradeIsNoChange(t *testing.T) {
	before := revision.Snapshot{Template: []byte(`{"a":1}`), UID: "u", Generation: 4}
	digest, err := before.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		uid        string
		generation int64
		same       bool
	}{
		{"the same object at the same generation", "u", 4, true},
		{"a later generation", "u", 5, false},
		{"another object of the same name", "v", 4, false},
	} {
		w := &world{canary: &v1beta1.Canary{}, snapshots: []revision.Stored{{Snapshot: before, Digest: digest}}}
		w.canary.Status.CurrentRevision, w.canary.Status.TargetGeneration = digest, 4
		live := revision.Snapshot{Template: []byte(`{"a":1,"newDefault":true}`), UID: c.uid, Generation: c.generation}
		settle(&live, w)
		if got, err := live.Digest(); err != nil || (got == digest) != c.same {
			t.Errorf("%s: same revision %v, %v, want %v", c.name, got == digest, err, c.same)
		}
	}
}

func TestHoldRestoresThePause(t *testing.T) {
	for _, c := range []struct {
		annotation string
		paused     bool
		want       bool
	}{
		{v1beta1.Hold{Revision: "r"}.String(), true, false},
		{v1beta1.Hold{Revision: "r", Paused: true}.String(), true, true},
		{"garbage", true, false},
		{"", true, true},
	} {
		u := workload("1", "web:1")
		if err := unstructured.SetNestedField(u.Object, c.paused, "spec", "paused"); err != nil {
			t.Fatal(err)
		}
		if c.annotation != "" {
			u.SetAnnotations(map[string]string{v1beta1.AnnotationHold: c.annotation})
		}
		if err := revision.Release(u); err != nil {
			t.Fatal(err)
		}
		paused, _, _ := unstructured.NestedBool(u.Object, "spec", "paused")
		if paused != c.want || len(u.GetAnnotations()) != 0 {
			t.Errorf("hold %q: paused %v, annotations %v, want paused %v", c.annotation, paused, u.GetAnnotations(), c.want)
		}
	}
}

func TestForeign(t *testing.T) {
	c := &v1beta1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "new"}}
	owned := func(kind, api, name string) *corev1.Service {
		s := serviceAt("1")
		s.OwnerReferences = []metav1.OwnerReference{{APIVersion: api, Kind: kind, Name: name, Controller: new(true), UID: "old"}}
		return s
	}
	labelled := serviceAt("1")
	labelled.Labels = map[string]string{v1beta1.LabelCanary: "web"}
	for name, x := range map[string]struct {
		o    *corev1.Service
		want bool
	}{
		"restored from a backup": {owned("Canary", "flagger.app/v1beta1", "web"), false},
		"another Canary's":       {owned("Canary", "flagger.app/v1beta1", "other"), true},
		"another kind of Canary": {owned("Canary", "example.com/v1", "web"), true},
		"labelled":               {labelled, false},
		"nobody's":               {serviceAt("1"), true},
	} {
		if by, got := foreign(x.o, c); got != x.want {
			t.Errorf("%s: foreign %v (%s), want %v", name, got, by, x.want)
		}
	}
}

func TestNotesFitIntoEvents(t *testing.T) {
	long := strings.Repeat("ä", maxNote)
	if got := oneNote(long); len(got) > maxNote || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes, valid %v", len(got), utf8.ValidString(got))
	}
	if oneNote("short") != "short" {
		t.Error("a short message was changed")
	}
}

func TestOnlyOldAndUnneededSnapshotsGo(t *testing.T) {
	at := time.Unix(1000, 0)
	w := &world{canary: &v1beta1.Canary{}, primary: workload("1", "x")}
	for i := range 15 {
		w.snapshots = append(w.snapshots, revision.Stored{Name: string(rune('a' + i)), Digest: string(rune('a' + i)), Taken: at.Add(time.Duration(i) * time.Second)})
	}
	w.snapshots[0].Promoted, w.snapshots[1].Baseline = at, at
	w.canary.Status.CurrentRevision, w.canary.Status.Rollout = "c", &v1beta1.RolloutStatus{Revision: "d"}
	w.observed.Live = &core.Revision{Digest: "e"}
	w.primary.SetAnnotations(map[string]string{revision.AnnotationRevision: "f"})
	var names []string
	for _, s := range w.outdated() {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, ""); got != "kjihg" {
		t.Errorf("snapshots %s go, want those older than the newest four that nothing needs: kjihg", got)
	}
}
