package v1beta1

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VerbStamp is the value of AnnotationVerbStamp: admission has found that a user may do what AnnotationVerb says. It is signed, so that nobody can
// write one while admission is away, and holds for one Canary and one text only.
type VerbStamp struct {
	// ID of the request that set the verb; a verb is done once for each.
	ID string `json:"id"`
	// By is the user name, as the API server authenticated it, At when that was, by the clock of the replica that admitted it.
	By string           `json:"by"`
	At metav1.MicroTime `json:"at"`
	// Signature of all that and of what it is about, in hexadecimal.
	Signature string `json:"signature"`
}

// ErrVerbSignature tells that a stamp was not written by admission for this Canary and this text.
var ErrVerbSignature = errors.New("its signature is not that of admission")

// ParseVerbStamp reads the value of AnnotationVerbStamp. An empty value is an error too.
func ParseVerbStamp(value string) (VerbStamp, error) {
	var s VerbStamp
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		return VerbStamp{}, fmt.Errorf("annotation %s: not a stamp: %w", AnnotationVerbStamp, err)
	}
	if s.ID == "" || s.At.IsZero() {
		return VerbStamp{}, fmt.Errorf("annotation %s: names no request or no time", AnnotationVerbStamp)
	}
	return s, nil
}

// String is the value for AnnotationVerbStamp.
func (s VerbStamp) String() string {
	// A struct of strings and a time of this age always marshals.
	b, _ := json.Marshal(s)
	return string(b)
}

// Sign returns the stamp with the signature for the verb of a Canary, of which the metadata counts. The key must not be empty.
func (s VerbStamp) Sign(key []byte, c metav1.Object, text string) VerbStamp {
	s.At = metav1.NewMicroTime(s.At.UTC())
	s.Signature = hex.EncodeToString(s.sum(key, c, text))
	return s
}

// Verify tells whether admission has signed the stamp for the verb of a Canary; any other is an ErrVerbSignature.
func (s VerbStamp) Verify(key []byte, c metav1.Object, text string) error {
	have, err := hex.DecodeString(s.Signature)
	if len(key) == 0 || err != nil || !hmac.Equal(have, s.sum(key, c, text)) {
		return ErrVerbSignature
	}
	return nil
}

// sum is over a list in JSON, in which no part can pass for another.
func (s VerbStamp) sum(key []byte, c metav1.Object, text string) []byte {
	raw, _ := json.Marshal([]string{c.GetNamespace(), c.GetName(), string(c.GetUID()), text, s.ID, s.By, s.At.UTC().Format(metav1.RFC3339Micro)})
	mac := hmac.New(sha256.New, key)
	mac.Write(raw)
	return mac.Sum(nil)
}
