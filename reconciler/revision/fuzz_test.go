package revision

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// FuzzCanonical compares two documents by their canonical form, and by what they say: both comparisons agree, whatever the order of keys, white
// space and spelling of numbers and texts.
func FuzzCanonical(f *testing.F) {
	for i, pair := range [][2]string{
		{`{"a":1,"b":[true,"x"]}`, `{"b":[true,"\u0078"],"a":10e-1}`},
		{`{"a":null}`, `{}`},
		{`[null]`, `[]`},
		{`{"a":0}`, `{"a":-0.0e5}`},
		{`{"a":"0"}`, `{"a":0}`},
		{`9007199254740993`, `9007199254740992`},
		{`1e21`, `1000000000000000000000`},
		{`"<&>\u2028"`, `"\u003c\u0026\u003e` + "\u2028" + `"`},
		{`{"a":{"b":{"c":[1,2,{"d":""}]}}}`, `{"a":{"b":{"c":[1,2,{"d":null}]}}}`},
		{"\"\xff\"", `"` + "\ufffd" + `"`},
		{`{"a":1,"a":2}`, `{"a":2}`},
	} {
		f.Add([]byte(pair[0]), []byte(pair[1]), uint64(i))
	}
	f.Fuzz(func(t *testing.T, a, b []byte, seed uint64) {
		canonA, sayA, okA := canonicalAndMeaning(t, a)
		canonB, sayB, okB := canonicalAndMeaning(t, b)
		if okA && okB && bytes.Equal(canonA, canonB) != reflect.DeepEqual(sayA, sayB) {
			t.Errorf("%s and %s: canonical %s and %s; one comparison tells them apart, the other does not", a, b, canonA, canonB)
		}
		if !okA {
			return
		}
		v, err := decode(a)
		if err != nil {
			t.Fatal(err)
		}
		respelt := scramble(rand.New(rand.NewPCG(seed, 1)), v)
		if got, err := Canonical(respelt); err != nil || !bytes.Equal(got, canonA) {
			t.Errorf("%s written as %s: canonical %s, %v; want %s", a, respelt, got, err, canonA)
		}
		if again, err := Canonical(canonA); err != nil || !bytes.Equal(again, canonA) {
			t.Errorf("the canonical form %s of %s has the canonical form %s, %v", canonA, a, again, err)
		}
	})
}

// FuzzTemplate reads whatever may stand in a pod template: its configs are found or it is refused, and a digest of it can be made.
func FuzzTemplate(f *testing.F) {
	whole := take(f, deployment)
	f.Add([]byte(whole.Template))
	for _, odd := range []string{
		`{}`, `null`, `[]`, `{"spec":{"containers":"none","volumes":[null,1,{"configMap":null},{"projected":{"sources":[1,{}]}}]}}`,
		`{"spec":{"initContainers":[{"env":[{"valueFrom":{"secretKeyRef":{"name":1}}}],"envFrom":[{"configMapRef":{"name":"c","optional":"yes"}}]}]}}`,
	} {
		f.Add([]byte(odd))
	}
	f.Fuzz(func(t *testing.T, template []byte) {
		refs, err := ConfigRefs(template)
		if err != nil {
			return
		}
		s := Snapshot{Target: Target{Kind: "Deployment", Name: "web"}, Template: template}
		before, err := s.Digest()
		if err != nil {
			return // a number that no digest can hold
		}
		for _, r := range refs {
			with := s
			with.Configs = []Config{{Kind: r.Kind, Name: r.Name, Digest: "1"}}
			if digestOf(t, with) == before {
				t.Errorf("the content of %s does not count", r.Key())
			}
		}
	})
}

// canonicalAndMeaning returns nothing for what is no JSON, or holds a number of an exponent that nobody can write out.
func canonicalAndMeaning(t *testing.T, raw []byte) (canonical []byte, meaning any, ok bool) {
	t.Helper()
	canonical, err := Canonical(raw)
	if err != nil {
		return nil, nil, false
	}
	if !json.Valid(canonical) {
		t.Fatalf("the canonical form of %s is no JSON: %s", raw, canonical)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s has a canonical form but is no JSON: %v", raw, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("%s has a canonical form but is more than one value", raw)
	}
	meaning, ok = meaningOf(v)
	return canonical, meaning, ok
}

// meaningOf returns a value that equals another exactly when both say the same: numbers by their value, fields that are null left out.
func meaningOf(v any) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			said, ok := meaningOf(e)
			if !ok {
				return nil, false
			}
			if e != nil {
				out[k] = said
			}
		}
		return out, true
	case []any:
		out := []any{}
		for _, e := range v {
			said, ok := meaningOf(e)
			if !ok {
				return nil, false
			}
			out = append(out, said)
		}
		return out, true
	case json.Number:
		// Longer ones take the standard library for ever.
		if _, exponent, _ := strings.Cut(strings.ToLower(v.String()), "e"); len(exponent) > 4 {
			return nil, false
		}
		r, ok := new(big.Rat).SetString(v.String())
		if !ok {
			return nil, false
		}
		return [1]string{r.RatString()}, true
	default:
		return v, true
	}
}
