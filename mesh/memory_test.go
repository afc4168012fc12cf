package mesh

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What was written is preferred to a cache that is behind, and to nothing else: not to a newer object, and not for ever.
func TestMemoryPrefersWhatWasWrittenUntilTheCacheShowsIt(t *testing.T) {
	o := gatewayAPI{}.Objects(plainCanary())[0]
	key := client.ObjectKey{Namespace: "test", Name: o.Name}
	at := func(version string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetNamespace(key.Namespace)
		u.SetResourceVersion(version)
		return u
	}
	clk := testingclock.NewFakePassiveClock(time.Unix(0, 0))
	m := newMemory(clk)
	expect := func(what string, cached *unstructured.Unstructured, want string) {
		t.Helper()
		got := ""
		if u := m.latest(o, key, cached); u != nil {
			got = u.GetResourceVersion()
		}
		if got != want {
			t.Errorf("%s: version %q; want %q", what, got, want)
		}
	}
	expect("nothing noted", at("3"), "3")
	m.wrote(o, at("10"))
	expect("the cache is behind", at("9"), "10")
	expect("not in the cache yet", nil, "10")
	if u := m.latest(o, client.ObjectKey{Namespace: "other", Name: o.Name}, at("9")); u.GetResourceVersion() != "9" {
		t.Error("a namesake in another namespace was answered with the noted object")
	}
	expect("the cache has it", at("10"), "10")
	expect("and the note is gone", at("9"), "9")

	m.wrote(o, at("10"))
	expect("somebody wrote later", at("11"), "11")
	m.wrote(o, at("10"))
	expect("versions that cannot be compared", at("x"), "x")
	m.wrote(o, at("10"))
	m.forget(o, key.Namespace)
	expect("a later write failed", at("9"), "9")

	m.wrote(o, at("10"))
	clk.SetTime(time.Unix(0, 0).Add(remembered))
	expect("still in time", at("9"), "10")
	clk.SetTime(time.Unix(0, 0).Add(remembered + time.Second))
	expect("deleted long since", nil, "")
	m.wrote(o, at("20"))
	clk.SetTime(time.Unix(0, 0).Add(3 * remembered))
	m.wrote(Object{Name: "another"}, at("21"))
	if len(m.notes) != 1 {
		t.Errorf("%d notes are kept; the old one ought to be dropped by the next write", len(m.notes))
	}
}
