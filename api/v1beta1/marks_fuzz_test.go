package v1beta1_test

import (
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// marksSurvive parses a mark, writes it and parses it again.
func marksSurvive[T any](t *testing.T, value string, parse func(string) (T, error), same func(a, b T) bool, text func(T) string) {
	t.Helper()
	first, err := parse(value)
	if err != nil {
		return
	}
	second, err := parse(text(first))
	if err != nil || !same(first, second) {
		t.Errorf("%q is read as %+v, which is written as %q and read as %+v, %v", value, first, text(first), second, err)
	}
}

// FuzzMarks reads any text as each mark: it is refused, or means the same after it was written again.
func FuzzMarks(f *testing.F) {
	for _, seed := range []string{
		"", "{", "null", "[]", `"x"`, `{}`,
		`{"revision":"abc","paused":true}`, `{"revision":"","paused":true}`, `{"revision":1}`, `{"revision":"\u0000\ud800"}`,
		`{"by":"alice","digest":"abc"}`, `{"by":null,"digest":"abc","more":1}`,
		`{"cause":"configmap/settings","at":"2026-05-01T08:00:00.000001Z"}`, `{"cause":"secret/a","at":null}`, `{"cause":"secret/a"}`,
		`{"at":"2026-05-01T08:00:00.000001+25:00"}`, `{"at":"0000-01-01T00:00:00.000000Z"}`, `{"at":"9999-12-31T23:59:59.999999-23:59"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		marksSurvive(t, value, v1beta1.ParseHold, func(a, b v1beta1.Hold) bool { return a == b }, v1beta1.Hold.String)
		marksSurvive(t, value, v1beta1.ParseAdmitted, func(a, b v1beta1.Admitted) bool { return a == b }, v1beta1.Admitted.String)
		marksSurvive(t, value, v1beta1.ParseFence, func(a, b v1beta1.Fence) bool { return a.Cause == b.Cause && a.At.Equal(&b.At) }, v1beta1.Fence.String)
	})
}
