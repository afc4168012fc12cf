package v1beta1

import (
	"fmt"
	"slices"
	"strings"
)

// VerbName is what an operator may ask of a Canary by AnnotationVerb. Whoever sets it needs the right to create canaries/<verb> in the API group
// flagger.app.
type VerbName string

// Verbs of operators.
const (
	// VerbPromote skips the rest of the analysis and its gates; capacity and routes are waited for as ever.
	VerbPromote VerbName = "promote"
	// VerbAbort ends the rollout: users go back to the primary.
	VerbAbort VerbName = "abort"
	// VerbPause keeps a rollout at its step, VerbResume lets it go on.
	VerbPause  VerbName = "pause"
	VerbResume VerbName = "resume"
	// VerbRetry analyses a failed revision again.
	VerbRetry VerbName = "retry"
	// VerbSkipAnalysis promotes the rollout under way, else the next one, without steps and checks.
	VerbSkipAnalysis VerbName = "skip-analysis"
	// VerbRestore has the primary serve a stored revision again, which is named after a colon.
	VerbRestore VerbName = "restore"
)

// Verbs are all verbs, in the order in which people are told of them.
var Verbs = []VerbName{VerbPromote, VerbAbort, VerbPause, VerbResume, VerbRetry, VerbSkipAnalysis, VerbRestore}

// MaxVerb bounds the value of AnnotationVerb, in bytes; minRevision is how many digits of a digest name a revision at least.
const (
	MaxVerb     = 253
	minRevision = 6
)

// Verb is the value of AnnotationVerb: "promote", "restore:4a7b12f0", "abort#INC-7".
type Verb struct {
	Name VerbName
	// Revision is the beginning of a digest; only of VerbRestore.
	Revision string
	// Note is for people: what follows the first #. It also makes a command of a manifest another one.
	Note string
}

// ParseVerb reads the value of AnnotationVerb. An empty value is an error too.
func ParseVerb(text string) (Verb, error) {
	if len(text) > MaxVerb {
		return Verb{}, fmt.Errorf("annotation %s is %d bytes long; use at most %d", AnnotationVerb, len(text), MaxVerb)
	}
	command, note, _ := strings.Cut(text, "#")
	name, argument, hasArgument := strings.Cut(strings.TrimSpace(command), ":")
	v := Verb{Name: VerbName(name), Revision: argument, Note: strings.TrimSpace(note)}
	switch {
	case !slices.Contains(Verbs, v.Name):
		return Verb{}, fmt.Errorf("annotation %s: %.40q is not a verb; use one of %s", AnnotationVerb, name, verbNames())
	case v.Name != VerbRestore && hasArgument:
		return Verb{}, fmt.Errorf("annotation %s: %s takes no revision, got %.70q; write %s", AnnotationVerb, name, argument, name)
	case v.Name == VerbRestore && (len(argument) < minRevision || strings.Trim(argument, "0123456789abcdef") != ""):
		return Verb{}, fmt.Errorf("annotation %s: %.70q names no revision; write restore: and at least %d digits of its digest",
			AnnotationVerb, argument, minRevision)
	}
	return v, nil
}

func verbNames() string {
	names := make([]string, len(Verbs))
	for i, v := range Verbs {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

// String is what a person would write.
func (v Verb) String() string {
	if v.Revision == "" {
		return string(v.Name)
	}
	return string(v.Name) + ":" + v.Revision
}
