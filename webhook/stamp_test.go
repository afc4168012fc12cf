package webhook

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

func TestStampBoundsTheUser(t *testing.T) {
	u := workload(t)
	p := newPatch(u)
	stamp(p, nil, true, strings.Repeat("ü", 200)+"\n", "d")
	got, err := v1beta1.ParseAdmitted(p.operations[0].Value.(string))
	if err != nil || got.Digest != "d" || len(got.By) > maxUser || !strings.HasPrefix(got.By, "üü") || strings.ContainsRune(got.By, '\n') {
		t.Errorf("stamp %+v, error %v; want at most %d bytes of the name on one line", got, err, maxUser)
	}
}

func TestMadeBy(t *testing.T) {
	for name, tt := range map[string]struct{ stamp, want string }{
		"of this content":    {v1beta1.Admitted{By: "jane", Digest: "d"}.String(), "jane"},
		"of other content":   {v1beta1.Admitted{By: "jane", Digest: "e"}.String(), ""},
		"mangled":            {"jane", ""},
		"nobody has seen it": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := madeBy(map[string]string{v1beta1.AnnotationAdmitted: tt.stamp}, "d"); got != tt.want {
				t.Errorf("made by %q, want %q", got, tt.want)
			}
		})
	}
}
