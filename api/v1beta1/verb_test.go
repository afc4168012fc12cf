package v1beta1_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestParseVerb(t *testing.T) {
	for text, want := range map[string]v1beta1.Verb{
		"promote":                  {Name: v1beta1.VerbPromote},
		" abort # INC-7 ":          {Name: v1beta1.VerbAbort, Note: "INC-7"},
		"restore:4a7b12#the old 1": {Name: v1beta1.VerbRestore, Revision: "4a7b12", Note: "the old 1"},
	} {
		if got, err := v1beta1.ParseVerb(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                       "use one of promote, abort",
		"Promote":                "is not a verb",
		"promote:4a7b12":         "takes no revision",
		"restore":                "names no revision",
		"restore:4a7b1":          "at least 6 digits",
		"restore:../../x":        "names no revision",
		strings.Repeat("a", 300): "is 300 bytes long",
	} {
		if v, err := v1beta1.ParseVerb(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %+v, %v; want an error with %q", text, v, err, want)
		}
	}
}

// A stamp holds for what it was made for and nothing else, also after it was stored.
func TestVerbStamp(t *testing.T) {
	key := []byte("key")
	c := &metav1.ObjectMeta{Namespace: "test", Name: "app", UID: "1"}
	made := v1beta1.VerbStamp{ID: "r1", By: "jane", At: metav1.NewMicroTime(time.Date(2026, 1, 1, 9, 0, 0, 123456000, time.FixedZone("", 3600)))}.Sign(key, c, "abort")
	stored, err := v1beta1.ParseVerbStamp(made.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := stored.Verify(key, c, "abort"); err != nil {
		t.Errorf("the stamp does not hold: %v", err)
	}
	other := func(change func(*v1beta1.VerbStamp)) v1beta1.VerbStamp {
		s := stored
		change(&s)
		return s
	}
	for name, err := range map[string]error{
		"other text":      stored.Verify(key, c, "promote"),
		"other key":       stored.Verify([]byte("guess"), c, "abort"),
		"no key":          stored.Verify(nil, c, "abort"),
		"other Canary":    stored.Verify(key, &metav1.ObjectMeta{Namespace: "test", Name: "other", UID: "1"}, "abort"),
		"other namespace": stored.Verify(key, &metav1.ObjectMeta{Namespace: "prod", Name: "app", UID: "1"}, "abort"),
		"other life":      stored.Verify(key, &metav1.ObjectMeta{Namespace: "test", Name: "app", UID: "2"}, "abort"),
		"other user":      other(func(s *v1beta1.VerbStamp) { s.By = "joe" }).Verify(key, c, "abort"),
		"other request":   other(func(s *v1beta1.VerbStamp) { s.ID = "r2" }).Verify(key, c, "abort"),
		"other time":      other(func(s *v1beta1.VerbStamp) { s.At = metav1.NewMicroTime(s.At.Add(time.Microsecond)) }).Verify(key, c, "abort"),
		"no signature":    other(func(s *v1beta1.VerbStamp) { s.Signature = "" }).Verify(key, c, "abort"),
		"empty, no key":   v1beta1.VerbStamp{}.Sign(nil, c, "abort").Verify(nil, c, "abort"),
	} {
		if !errors.Is(err, v1beta1.ErrVerbSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, value := range []string{"", "x", "{}", `{"id":"x"}`} {
		if _, err := v1beta1.ParseVerbStamp(value); err == nil {
			t.Errorf("%q passes for a stamp", value)
		}
	}
}
