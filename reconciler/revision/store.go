package revision

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// AnnotationTaken on a snapshot is when it was taken, in RFC 3339. So are the marks v1beta1.AnnotationPromoted and v1beta1.AnnotationBaseline; where
// several snapshots carry one, which only a crash leaves behind, the newest counts.
const AnnotationTaken = "sluice.dev/taken"

// MaxSize is the size of a snapshot, in bytes, above which it is refused: the API server's own limit for one object, less its metadata.
const MaxSize = 1 << 20

// Taken says who and what made a snapshot.
type Taken struct {
	// By is the user whose change is held in it; may be empty.
	By string
	// At is when it was taken.
	At time.Time
	// Baseline marks it as the revision that served when the Canary was admitted.
	Baseline bool
}

// Encode returns the object that stores a snapshot. It fails when the snapshot is larger than MaxSize.
func Encode(namespace string, s Snapshot, taken Taken) (*appsv1.ControllerRevision, error) {
	d, err := s.Digest()
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the snapshot of %s %s: %w", s.Target.Kind, s.Target.Name, err)
	}
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%s %s: the snapshot of its spec takes %d bytes, more than the %d that fit in one object; "+
			"move content from the pod template to a ConfigMap", s.Target.Kind, s.Target.Name, len(raw), MaxSize)
	}
	annotations := map[string]string{AnnotationTaken: Stamp(taken.At)}
	if taken.By != "" {
		annotations[v1beta1.AnnotationChangedBy] = taken.By
	}
	if taken.Baseline {
		annotations[v1beta1.AnnotationBaseline] = Stamp(taken.At)
	}
	return &appsv1.ControllerRevision{
		TypeMeta: metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "ControllerRevision"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   namespace,
			Name:        SnapshotName(s.Target.Name, d),
			Labels:      labelsFor(s.Target, d),
			Annotations: annotations,
		},
		Data: runtime.RawExtension{Raw: raw},
	}, nil
}

// Stored is a snapshot as read back, with its digest computed anew.
type Stored struct {
	Snapshot
	// Name of the object, the digest of what it holds, and that of its template alone.
	Name, Digest, TemplateDigest string
	// Inherited is the digest of the template of a primary that runs this revision although it was not rendered from it; see AnnotationInherited.
	Inherited string
	// Promoted and Baseline are the times of the marks; zero without the mark. Taken is when the snapshot was taken.
	Promoted, Baseline, Taken time.Time
}

// Decode reads a stored snapshot. Its name and labels are not trusted: the digest is computed from the content.
func Decode(r *appsv1.ControllerRevision) (Stored, error) {
	out := Stored{
		Name:      r.Name,
		Inherited: r.Annotations[AnnotationInherited],
		Promoted:  parseStamp(r.Annotations[v1beta1.AnnotationPromoted]),
		Baseline:  parseStamp(r.Annotations[v1beta1.AnnotationBaseline]),
		Taken:     parseStamp(r.Annotations[AnnotationTaken]),
	}
	if err := json.Unmarshal(r.Data.Raw, &out.Snapshot); err != nil {
		return Stored{}, fmt.Errorf("snapshot %s: %w", r.Name, err)
	}
	if out.Target.Kind == "" || out.Target.Name == "" {
		return Stored{}, fmt.Errorf("snapshot %s: %w", r.Name, errNoTarget)
	}
	d, err := out.Snapshot.Digest()
	if err != nil {
		return Stored{}, fmt.Errorf("snapshot %s: %w", r.Name, err)
	}
	out.Digest = d
	if out.TemplateDigest, err = out.Snapshot.TemplateDigest(); err != nil {
		return Stored{}, fmt.Errorf("snapshot %s: %w", r.Name, err)
	}
	return out, nil
}

var errNoTarget = errors.New("names no target")

// Promoted returns the last good one of the snapshots of a target: the one that was marked last. Nil when none is marked.
func Promoted(snapshots []Stored) *Stored {
	return newest(snapshots, func(s Stored) time.Time { return s.Promoted })
}

// Baseline returns the revision that served when the Canary was admitted. Nil when none is marked.
func Baseline(snapshots []Stored) *Stored {
	return newest(snapshots, func(s Stored) time.Time { return s.Baseline })
}

func newest(snapshots []Stored, mark func(Stored) time.Time) *Stored {
	var best *Stored
	for i := range snapshots {
		s := &snapshots[i]
		if mark(*s).IsZero() {
			continue
		}
		if best == nil || mark(*s).After(mark(*best)) || (mark(*s).Equal(mark(*best)) && s.Name > best.Name) {
			best = s
		}
	}
	return best
}

// ByDigest returns the snapshot of a revision, or nil.
func ByDigest(snapshots []Stored, digest string) *Stored {
	i := slices.IndexFunc(snapshots, func(s Stored) bool { return s.Digest == digest })
	if i < 0 {
		return nil
	}
	return &snapshots[i]
}

// Selector returns the labels that all snapshots of a target carry.
func Selector(t Target) map[string]string {
	return map[string]string{v1beta1.LabelSnapshot: "true", v1beta1.LabelTarget: t.label()}
}

func labelsFor(t Target, digest string) map[string]string {
	l := Selector(t)
	l[v1beta1.LabelRevision] = digest
	return l
}

// Stamp writes the time of a mark.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// parseStamp takes an unreadable mark for none: it may have been written by hand.
func parseStamp(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// maxLabel and maxName are Kubernetes' limits for a label's value and an object's name; shortHash is what replaces a cut end.
const (
	maxLabel  = 63
	maxName   = 253
	shortHash = 10
)

// SnapshotName returns the name of the object that stores a snapshot: <target>-sluice-<digest>.
func SnapshotName(target, digest string) string { return shorten(target, "-sluice-"+digest) }

// shorten appends a suffix to a name, replacing the name's end by a hash where the whole would be too long.
func shorten(name, suffix string) string { return cut(name, maxName-len(suffix)) + suffix }

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.TrimRight(s[:limit-shortHash-1], "-.") + "-" + hashText(s, shortHash)
}

// LabelValue returns a name in the form in which labels carry it: the name itself, or a shortened one where it is longer than a label may be.
func LabelValue(name string) string { return cut(name, maxLabel) }

func (t Target) label() string { return LabelValue(strings.ToLower(t.Kind) + "-" + t.Name) }
