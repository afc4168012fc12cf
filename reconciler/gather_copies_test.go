package reconciler

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A copy whose snapshot somebody deleted goes on leading where it does, so nothing waits for it to be written again.
func TestCopyWithoutItsSnapshot(t *testing.T) {
	w := &world{}
	labelled := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{labelPinned: "abc"}}}
	for name, c := range map[string]struct {
		have *corev1.Service
		want bool
	}{
		"it leads to a revision": {labelled, true},
		"it leads to none":       {&corev1.Service{}, false},
		"it is missing":          {nil, false},
	} {
		if got := w.copyAsWanted(roleCanary, c.have); got != c.want {
			t.Errorf("%s: as wanted %v, want %v", name, got, c.want)
		}
	}
}
