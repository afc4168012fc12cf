package certs

import (
	"bytes"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestPlanBundle(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)
	second := now.Truncate(time.Second)
	const overlap = time.Hour
	year := 365 * 24 * time.Hour
	current, old, older := newCA(t, now, year), newCA(t, now.Add(-year), 2*year), newCA(t, now.Add(-year), 2*year)
	expired := newCA(t, now.Add(-2*year), year)

	for name, tc := range map[string]struct {
		have  publication
		want  []byte
		since time.Time
		write bool
		ends  time.Time
	}{
		"an empty bundle gets the CA": {
			have: publication{bundles: [][]byte{nil, nil}},
			want: bundleOf(current), since: second, write: true,
		},
		"nothing to do": {
			have: publication{bundles: [][]byte{bundleOf(current), bundleOf(current)}, since: now.Add(-time.Minute)},
			want: bundleOf(current), since: now.Add(-time.Minute),
		},
		"a new CA leads, the old one stays": {
			have: publication{bundles: [][]byte{bundleOf(old)}, since: now.Add(-year)},
			want: bundleOf(current, old), since: second, write: true, ends: second.Add(overlap),
		},
		"the overlap goes on": {
			have: publication{bundles: [][]byte{bundleOf(current, old)}, since: now.Add(-time.Minute)},
			want: bundleOf(current, old), since: now.Add(-time.Minute), ends: now.Add(overlap - time.Minute),
		},
		"the overlap is over": {
			have: publication{bundles: [][]byte{bundleOf(current, old)}, since: now.Add(-overlap)},
			want: bundleOf(current), since: now.Add(-overlap), write: true,
		},
		"a second rotation within the overlap keeps both": {
			have: publication{bundles: [][]byte{bundleOf(old, older)}, since: now.Add(-time.Minute)},
			want: bundleOf(current, old, older), since: second, write: true, ends: second.Add(overlap),
		},
		"a restored CA leads again, and a new overlap begins": {
			have: publication{bundles: [][]byte{bundleOf(old, current)}, since: now.Add(-overlap)},
			want: bundleOf(current, old), since: second, write: true, ends: second.Add(overlap),
		},
		"a webhook whose bundle was wiped is repaired, and the others lose nothing": {
			have: publication{bundles: [][]byte{bundleOf(current, old), nil}, since: now.Add(-time.Minute)},
			want: bundleOf(current, old), since: second, write: true, ends: second.Add(overlap),
		},
		"rubbish and expired certificates go": {
			have: publication{bundles: [][]byte{slices.Concat([]byte("rubbish\n"), bundleOf(expired, old))}, since: now.Add(-year)},
			want: bundleOf(current, old), since: second, write: true, ends: second.Add(overlap),
		},
		"a lost record starts the overlap anew": {
			have: publication{bundles: [][]byte{bundleOf(current, old)}},
			want: bundleOf(current, old), since: second, write: true, ends: second.Add(overlap),
		},
		"a record from the far future is not believed": {
			have: publication{bundles: [][]byte{bundleOf(current, old)}, since: now.Add(year)},
			want: bundleOf(current, old), since: second, write: true, ends: second.Add(overlap),
		},
		"a configuration without webhooks is left alone": {
			have: publication{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := planBundle(tc.have, current.cert, now, overlap)
			if !bytes.Equal(plan.bundle, tc.want) {
				t.Errorf("bundle has %d certificates:\n%s\nwant %d:\n%s", len(decodeBundle(plan.bundle)), plan.bundle, len(decodeBundle(tc.want)), tc.want)
			}
			if !plan.since.Equal(tc.since) {
				t.Errorf("since = %s, want %s", plan.since, tc.since)
			}
			if plan.write != tc.write {
				t.Errorf("write = %v, want %v", plan.write, tc.write)
			}
			if !plan.ends.Equal(tc.ends) {
				t.Errorf("ends = %s, want %s", plan.ends, tc.ends)
			}
			if !plan.write {
				return
			}
			carried := publication{since: plan.since}
			for range tc.have.bundles {
				carried.bundles = append(carried.bundles, plan.bundle)
			}
			if again := planBundle(carried, current.cert, now, overlap); again.write {
				t.Error("what was just written would be written again")
			}
		})
	}
}

func TestPlanBundleIsBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var bundle []byte
	var all []testCA
	for range maxPrevious + 3 {
		ca := newCA(t, now, time.Hour)
		plan := planBundle(publication{bundles: [][]byte{bundle}, since: now}, ca.cert, now, time.Minute)
		bundle, all = plan.bundle, append(all, ca)
	}
	slices.Reverse(all)
	if want := bundleOf(all[:maxPrevious+1]...); !bytes.Equal(bundle, want) {
		t.Errorf("the bundle holds %d certificates, want the newest %d in order", len(decodeBundle(bundle)), maxPrevious+1)
	}
}

func TestParseCA(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, other := newCA(t, now, time.Hour), newCA(t, now, time.Hour)
	leaf := ca.leaf(t, now, time.Hour)
	leafPEM := encodeBundle(decodeBundle(bundleOf(testCA{cert: leaf.Leaf})))

	for name, tc := range map[string]struct {
		ca, cert, key []byte
		ok            bool
	}{
		"complete":           {bundleOf(ca), bundleOf(ca), ca.keyPEM(t), true},
		"empty":              {},
		"no ca.crt":          {nil, bundleOf(ca), ca.keyPEM(t), false},
		"another ca.crt":     {bundleOf(other), bundleOf(ca), ca.keyPEM(t), false},
		"a key of another":   {bundleOf(ca), bundleOf(ca), other.keyPEM(t), false},
		"no certificate":     {[]byte("x"), []byte("x"), ca.keyPEM(t), false},
		"not a CA":           {leafPEM, leafPEM, privateKeyPEM(t, leaf.PrivateKey), false},
		"a key of something": {bundleOf(ca), bundleOf(ca), []byte("x"), false},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{Data: map[string][]byte{caKey: tc.ca, corev1.TLSCertKey: tc.cert, corev1.TLSPrivateKeyKey: tc.key}}
			cert, err := parseCA(secret)
			if tc.ok && (err != nil || !cert.Equal(ca.cert)) {
				t.Errorf("got %v, %v; want the CA", cert, err)
			}
			if !tc.ok && err == nil {
				t.Error("accepted, want an error")
			}
		})
	}
}
