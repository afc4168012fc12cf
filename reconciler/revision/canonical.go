package revision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// DigestLength is the number of hexadecimal characters in a digest: the first 64 bits of a SHA-256. A digest tells a handful of versions of
// one object apart; whatever is stored under one is compared by content.
const DigestLength = 16

// Canonical returns raw JSON with keys sorted, white space removed and numbers in one spelling. A field that is null counts as absent, as it
// does for the API server; nothing else is dropped.
func Canonical(raw []byte) ([]byte, error) {
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return canonicalValue(v)
}

func decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("not JSON: data after the value")
	}
	return v, nil
}

func canonicalValue(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := writeCanonical(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeCanonical(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case map[string]any:
		return writeObject(b, v)
	case []any:
		return writeList(b, v)
	case json.Number:
		n, err := canonicalNumber(v.String())
		if err != nil {
			return err
		}
		b.WriteString(n)
		return nil
	default:
		return writeScalar(b, v)
	}
}

func writeObject(b *bytes.Buffer, m map[string]any) error {
	b.WriteByte('{')
	first := true
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] == nil {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		if err := writeScalar(b, k); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := writeCanonical(b, m[k]); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeList(b *bytes.Buffer, l []any) error {
	b.WriteByte('[')
	for i, v := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeCanonical(b, v); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

// writeScalar also takes Go's own numbers, which objects decoded by Kubernetes' libraries hold, through the same spelling.
func writeScalar(b *bytes.Buffer, v any) error {
	if s, ok := v.(string); ok && plain(s) {
		b.WriteByte('"')
		b.WriteString(s)
		b.WriteByte('"')
		return nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	text := strings.TrimSuffix(out.String(), "\n")
	switch v.(type) {
	case int, int32, int64, uint64, float32, float64:
		n, err := canonicalNumber(text)
		if err != nil {
			return err
		}
		text = n
	}
	b.WriteString(text)
	return nil
}

// plain tells that a text is spelt in JSON as it is. Nearly all of a template is: admission computes digests while somebody waits.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// maxPlainZeros bounds the zeros that a canonical number spells out before it uses an exponent.
const maxPlainZeros = 20

// canonicalNumber spells a JSON number exactly, without rounding: 1, 1.0 and 10e-1 are the same text.
func canonicalNumber(s string) (string, error) {
	sign, rest := "", s
	if strings.HasPrefix(rest, "-") {
		sign, rest = "-", rest[1:]
	}
	mantissa, exponent := rest, int64(0)
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		e, err := strconv.ParseInt(strings.TrimPrefix(rest[i+1:], "+"), 10, 32)
		if err != nil {
			return "", fmt.Errorf("number %.40q has no usable exponent: %w", s, err)
		}
		mantissa, exponent = rest[:i], e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent -= int64(len(fraction))
	digits := strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	exponent += int64(len(digits) - len(trimmed))
	switch {
	case trimmed == "":
		return "0", nil
	case exponent >= 0 && exponent <= maxPlainZeros:
		return sign + trimmed + strings.Repeat("0", int(exponent)), nil
	default:
		return sign + trimmed + "e" + strconv.FormatInt(exponent, 10), nil
	}
}

// digest returns the content address of a value.
func digest(v any) (string, error) {
	c, err := canonicalValue(v)
	if err != nil {
		return "", err
	}
	return hashOf(c), nil
}

// hashOf returns the content address of canonical JSON.
func hashOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])[:DigestLength]
}

// CanonicalTemplateDigest is the Snapshot.TemplateDigest of a template that TemplateOf returned.
func CanonicalTemplateDigest(template []byte) string { return hashOf(template) }

// CanonicalBareDigest is the Snapshot.Digest of a template that TemplateOf returned, and of no configs.
func CanonicalBareDigest(template []byte) string {
	return hashOf(slices.Concat([]byte(`{"configs":{},"template":`), template, []byte("}")))
}

// hashText returns n hexadecimal characters of the hash of a text.
func hashText(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}
