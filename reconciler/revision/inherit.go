package revision

import (
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// AnnotationInherited on a snapshot is the digest of the template of the primary that Flagger made of this revision. As long as the primary has that
// very template it runs the revision, and is left as it is. It stands on the snapshot because what marks a primary must not be a primary's own word.
const AnnotationInherited = "sluice.dev/inherited"

// annotationFlaggerID is what Flagger sets on a primary's pods, to a new value with each promotion, so that they are replaced.
const annotationFlaggerID = "flagger-id"

// Inherit returns the revision that a primary of Flagger's runs, as a snapshot of the target, and the contents that must be stored as copies before
// it. Where the primary is what Flagger makes of the target's template, the template is the target's own, so that nothing has changed; otherwise
// it is the primary's, with Flagger's rewrites undone.
//
// copies returns what Flagger's copy of a config holds, by the copy's name, or nil where there is none; lookup returns the configs themselves,
// nil leaves all of them out. Inherit fails like Take.
func Inherit(primary, target *unstructured.Unstructured, selectorLabels []string, copies, lookup Lookup) (Snapshot, []Content, error) {
	s, err := fromWorkload(target)
	if err != nil {
		return Snapshot{}, nil, err
	}
	label, err := FindSelectorLabel(s.Workload, selectorLabels)
	if err != nil {
		return Snapshot{}, nil, fmt.Errorf("%s %s: %w", s.Target.Kind, s.Target.Name, err)
	}
	// Generation and UID say what was read, and that was not the target alone.
	s.UID, s.Generation = "", 0
	n, _ := object(primary.Object, "spec")["replicas"].(int64) // a DaemonSet has none
	s.Replicas = int32(n)
	template, err := TemplateOf(primary)
	if err != nil {
		return Snapshot{}, nil, err
	}
	if lookup == nil || TrackingDisabled(target.GetAnnotations()) {
		lookup, copies = nil, func(ConfigRef) (*Content, error) { return nil, nil }
	}
	found, own, err := undoCopies(template, copies)
	if err != nil {
		return Snapshot{}, nil, err
	}
	same, err := isFlaggersOf(s, template, found, selectorLabels)
	if err == nil && !same {
		undo(own, renamer(s.Target.Name, label, selectorLabels), label)
		s.Template, err = canonicalValue(own)
	}
	if err != nil {
		return Snapshot{}, nil, fmt.Errorf("%s %s: spec.template: %w", primary.GetKind(), primary.GetName(), err)
	}
	if lookup == nil {
		return s, nil, nil
	}
	contents, err := s.takeConfigs(asPromoted(found, lookup))
	return s, contents, err
}

// undoCopies returns what Flagger's copies hold that a template references, by the keys of the configs that they are copies of, and the template
// with the configs' own names.
func undoCopies(template []byte, copies Lookup) (map[string]*Content, map[string]any, error) {
	refs, err := ConfigRefs(template)
	if err != nil {
		return nil, nil, err
	}
	found := map[string]*Content{}
	for _, ref := range refs {
		name, suffixed := strings.CutSuffix(ref.Name, PrimarySuffix)
		if !suffixed || name == "" {
			continue
		}
		c, err := copies(ref)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s %s: %w", ref.Kind, ref.Name, err)
		}
		if c != nil {
			found[key(ref.Kind, name)] = c
		}
	}
	own, err := decodeTemplate(template)
	if err != nil {
		return nil, nil, err
	}
	eachRef(own, func(r site) {
		if name, suffixed := strings.CutSuffix(r.name(), PrimarySuffix); suffixed && found[key(r.kind, name)] != nil {
			r.rename(name)
		}
	})
	return found, own, nil
}

// isFlaggersOf tells whether a primary's template is what Flagger makes of the target's.
func isFlaggersOf(target Snapshot, template []byte, copies map[string]*Content, selectorLabels []string) (bool, error) {
	refs, err := ConfigRefs(target.Template)
	if err != nil {
		return false, err
	}
	for _, ref := range refs {
		if copies[ref.Key()] != nil {
			target.Configs = append(target.Configs, Config{Kind: ref.Kind, Name: ref.Name, Copy: ref.Name + PrimarySuffix})
		}
	}
	want, err := PrimaryTemplate(target, selectorLabels)
	if err != nil {
		return false, err
	}
	tidy(want)
	got, err := decodeTemplate(template)
	if err != nil {
		return false, err
	}
	tidy(got)
	a, err := canonicalValue(want)
	if err != nil {
		return false, err
	}
	b, err := canonicalValue(got)
	return string(a) == string(b), err
}

// tidy takes off what Flagger adds to a primary's pods and what neither of the two copies to them.
func tidy(template map[string]any) {
	meta := object(template, "metadata")
	delete(object(meta, "annotations"), annotationFlaggerID)
	for _, field := range []string{"labels", "annotations"} {
		if m := object(meta, field); m != nil {
			if dropOwnership(m); len(m) == 0 {
				delete(meta, field)
			}
		}
	}
}

// undo turns the template of a primary into that of its target.
func undo(template map[string]any, suffix rename, label SelectorLabel) {
	tidy(template)
	ensureObject(ensureObject(template, "metadata"), "labels")[label.Key] = label.Value
	separate(object(template, "spec"), func(key, value string) string {
		if name, suffixed := strings.CutSuffix(value, PrimarySuffix); suffixed && suffix(key, name) == value {
			return name
		}
		return value
	})
}

// asPromoted returns a lookup of configs as the primary reads them.
func asPromoted(copies map[string]*Content, lookup Lookup) Lookup {
	return func(ref ConfigRef) (*Content, error) {
		c, err := lookup(ref)
		if kept := copies[ref.Key()]; err == nil && kept != nil {
			return kept.asCopyOf(c, ref)
		}
		return c, err
	}
}

// asCopyOf returns what a copy of Flagger's says that its config held: what the config holds now, if that has not changed, for Flagger copies no
// binary data; else what the copy holds.
func (c *Content) asCopyOf(original *Content, ref ConfigRef) (*Content, error) {
	if original != nil && maps.Equal(c.data, original.data) && (c.Kind == ConfigMap || c.sameBinary(original)) {
		return original, nil
	}
	kept := *c
	kept.Name, kept.Shared, kept.Rotated = ref.Name, false, false
	sealed, err := kept.seal()
	return &sealed, err
}

func (c *Content) sameBinary(o *Content) bool {
	return c.secretType == o.secretType && maps.EqualFunc(c.binaryData, o.binaryData, func(a, b []byte) bool { return string(a) == string(b) })
}
