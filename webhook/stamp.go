package webhook

import (
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// maxUser bounds the user name in a stamp, in bytes.
const maxUser = 253

// stamp records on the requested object which change of it was admitted last. The stamp of unchanged content is carried over where a replace
// drops it, so that a later change which nobody has seen still shows.
func stamp(p *patch, before map[string]string, changed bool, user, digest string) {
	if changed {
		p.annotation(v1beta1.AnnotationAdmitted, v1beta1.Admitted{By: oneLine(user, maxUser), Digest: digest}.String())
		return
	}
	if kept, ok := before[v1beta1.AnnotationAdmitted]; ok {
		p.annotation(v1beta1.AnnotationAdmitted, kept)
	}
}

// madeBy tells who made the content with the given digest, as far as the stamp beside it knows.
func madeBy(annotations map[string]string, digest string) string {
	a, err := v1beta1.ParseAdmitted(annotations[v1beta1.AnnotationAdmitted])
	if err != nil || a.Digest != digest {
		return ""
	}
	return a.By
}

// freshlyStamped tells that the mutating phase has looked at this very change: the stamp is there, and is not the one of before.
func freshlyStamped(before, after map[string]string) bool {
	now, ok := after[v1beta1.AnnotationAdmitted]
	return ok && now != before[v1beta1.AnnotationAdmitted]
}
