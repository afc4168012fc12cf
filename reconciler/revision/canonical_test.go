package revision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCanonicalNumbers(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "0.0": "0", "0e9": "0", "1": "1", "1.0": "1", "10e-1": "1", "1e2": "100", "-1.50": "-15e-1",
		"9007199254740993": "9007199254740993", "9007199254740992": "9007199254740992", "0.1": "1e-1", "1e400": "1e400",
		"100000000000000000000": "100000000000000000000", "1e21": "1e21",
	} {
		got, err := canonicalNumber(in)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: %s is not JSON", in, got)
		}
	}
	if _, err := canonicalNumber("1e99999999999"); err == nil {
		t.Error("an exponent that cannot be held was accepted")
	}
}

func TestCanonicalForms(t *testing.T) {
	for _, same := range [][]string{
		{`{"a":1,"b":[true,"x"]}`, "{ \"b\" : [ true , \"\\u0078\" ],\n\"a\" : 1.0 }", `{"b":[true,"x"],"a":1,"creationTimestamp":null}`},
		{`"<&>"`, `"\u003c\u0026\u003e"`},
		{`[null]`, `[ null ]`},
	} {
		first, err := Canonical([]byte(same[0]))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range same[1:] {
			if got, err := Canonical([]byte(s)); err != nil || !bytes.Equal(got, first) {
				t.Errorf("%s: got %s, %v, want %s", s, got, err, first)
			}
		}
	}
	different := []string{`{"a":{}}`, `{}`, `{"a":[]}`, `{"a":""}`, `{"a":0}`, `{"a":"0"}`, `{"a":false}`, `[1,2]`, `[2,1]`, `[null]`, `[]`}
	seen := map[string]string{}
	for _, s := range different {
		got, err := Canonical([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[string(got)]; ok {
			t.Errorf("%s and %s have the same form", s, other)
		}
		seen[string(got)] = s
	}
	for _, bad := range []string{``, `{`, `{} {}`, `{"a":01}`} {
		if _, err := Canonical([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestDigestProperty: a digest does not depend on order and format, and changes with every single leaf.
func TestDigestProperty(t *testing.T) {
	s := take(t, deployment)
	want := digestOf(t, s)
	template, err := decodeTemplate(s.Template)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(50) {
		shuffled := s
		shuffled.Template = scramble(rand.New(rand.NewPCG(seed, 1)), template)
		if got := digestOf(t, shuffled); got != want {
			t.Fatalf("seed %d: digest %s of\n%s\nwant %s", seed, got, shuffled.Template, want)
		}
	}
	n := 0
	eachLeaf(template, func(path string, set func(any)) {
		n++
		set("changed")
		defer set(nil)
		raw, err := json.Marshal(template)
		if err != nil {
			t.Fatal(err)
		}
		changed := s
		changed.Template = raw
		if digestOf(t, changed) == want {
			t.Errorf("%s does not count", path)
		}
	})
	if n < 50 {
		t.Errorf("only %d leaves were tried", n)
	}
	for i := range s.Configs {
		changed := s
		changed.Configs = append([]Config{}, s.Configs...)
		changed.Configs[i].Digest = "other"
		if digestOf(t, changed) == want {
			t.Errorf("the content of %s does not count", s.Configs[i].Key())
		}
	}
	same := s
	same.Replicas, same.Labels, same.Workload, same.Generation = 9, nil, nil, 9
	if digestOf(t, same) != want {
		t.Error("replicas, labels or the rest of the spec count")
	}
}

// scramble writes a value with keys in random order, random white space and other spellings of numbers.
func scramble(r *rand.Rand, v any) []byte {
	space := strings.Repeat(" \n"[:1+r.IntN(2)], r.IntN(3))
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for k, e := range v {
			parts = append(parts, fmt.Sprintf("%s%s%s:%s", space, scramble(r, k), space, scramble(r, e)))
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return []byte("{" + strings.Join(parts, ",") + space + "}")
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, space+string(scramble(r, e)))
		}
		return []byte("[" + strings.Join(parts, ",") + space + "]")
	case json.Number:
		return []byte(respell(r, v.String()) + space)
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return append(raw, space...)
	}
}

// respell writes a number in another way, where it has no exponent yet.
func respell(r *rand.Rand, number string) string {
	switch {
	case strings.ContainsAny(number, "eE"):
		return number
	case strings.Contains(number, "."):
		return number + []string{"", "0", "000", "e0", "E+00"}[r.IntN(5)]
	case strings.HasSuffix(number, "0"):
		return number + []string{"", ".0", "e0"}[r.IntN(3)]
	default:
		return number + []string{".00e-0", "000e-3", "E+0"}[r.IntN(3)]
	}
}

// eachLeaf visits every scalar; set(nil) puts the original back.
func eachLeaf(v any, visit func(path string, set func(any))) {
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				walk(path+"."+k, v[k], func(n any) { v[k] = n })
			}
		case []any:
			for i := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), v[i], func(n any) { v[i] = n })
			}
		default:
			visit(path, func(n any) {
				if n == nil {
					n = v
				}
				set(n)
			})
		}
	}
	walk("", v, func(any) {})
}

// The digests that admission takes from canonical bytes are those that the reconciler takes from snapshots, whatever is in the texts.
func TestDigestsOfCanonicalTemplates(t *testing.T) {
	for _, value := range []string{"plain", `quoted "text" and \ back`, "line\nbreak", "<&>", "ümlaut\u2028", "\x7f", ""} {
		template, err := canonicalValue(map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": value}}}})
		if err != nil {
			t.Fatal(err)
		}
		s := Snapshot{Template: template}
		alone, err := s.TemplateDigest()
		if err != nil || CanonicalTemplateDigest(template) != alone {
			t.Errorf("%q: template digest %s, want %s (error %v)", value, CanonicalTemplateDigest(template), alone, err)
		}
		whole, err := s.Digest()
		if err != nil || CanonicalBareDigest(template) != whole {
			t.Errorf("%q: digest %s, want %s (error %v)", value, CanonicalBareDigest(template), whole, err)
		}
	}
}
