package revision

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// PrimarySuffix is what a primary's name, selector label and config copies carry.
const PrimarySuffix = "-primary"

// AnnotationRevision on a primary names the revision that it was rendered from.
const AnnotationRevision = v1beta1.LabelRevision

// ownership are parts of the metadata keys by which Flux, Argo CD, Helm and kubectl know the objects that they manage. On a generated object they
// would make these tools delete it, because it is in nobody's manifests, or write over it.
var ownership = []string{"toolkit.fluxcd.io/", "argocd.argoproj.io/", "meta.helm.sh/", "kubectl.kubernetes.io/last-applied-configuration"}

// managedLabels are labels that say the same of an object as a whole: Argo CD tracks by the instance, Helm's users select by the chart. On pods
// they say nothing of that kind, and may be what a workload's selector matches.
var managedLabels = []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/"}

// DefaultSelectorLabels are the label keys among which the selector label is sought, in this order.
func DefaultSelectorLabels() []string { return []string{"app", "name", "app.kubernetes.io/name"} }

// SelectorLabel is the one label by which the pods of target and primary are told apart.
type SelectorLabel struct{ Key, Value string }

// Primary returns the label of the primary's pods.
func (l SelectorLabel) Primary() SelectorLabel {
	return SelectorLabel{Key: l.Key, Value: l.Value + PrimarySuffix}
}

// FindSelectorLabel returns the first of keys that the workload's selector matches. Empty keys mean DefaultSelectorLabels.
func FindSelectorLabel(workload []byte, keys []string) (SelectorLabel, error) {
	v, err := decode(workload)
	if err != nil {
		return SelectorLabel{}, err
	}
	spec, _ := v.(map[string]any)
	match := object(object(spec, "selector"), "matchLabels")
	if len(keys) == 0 {
		keys = DefaultSelectorLabels()
	}
	for _, k := range keys {
		if value, ok := match[k].(string); ok {
			return SelectorLabel{Key: k, Value: value}, nil
		}
	}
	return SelectorLabel{}, fmt.Errorf("spec.selector.matchLabels has none of the labels %s; add one to the workload, or name its label in -selector-labels",
		strings.Join(keys, ", "))
}

// PrimaryOptions is what the rendering of a primary depends on besides the snapshot.
type PrimaryOptions struct {
	// SelectorLabels are the keys among which the selector label is sought; DefaultSelectorLabels when empty.
	SelectorLabels []string
	// IncludeLabelPrefixes choose the workload's labels and annotations that its primary gets too; "*" chooses all, none when empty.
	IncludeLabelPrefixes []string
	// Canary owns the primary.
	Canary *v1beta1.Canary
	// Replicas of the primary; ignored for a DaemonSet.
	Replicas int32
	// Rotated are the digests of the rotated configs that the primary reads, by key. Other digests make other pods.
	Rotated map[string]string
}

// absentCopy stands in the name of a copy for the digest of a config that did not exist. No copy has that name.
const absentCopy = "absent"

// PrimaryTemplate renders the pod template of the primary. It differs from the snapshot's by the selector label, by the names of the
// config copies, by affinity and spread rules that would otherwise count the target's pods, and by the metadata of GitOps tools; every
// other field, known or not, is the snapshot's.
func PrimaryTemplate(s Snapshot, selectorLabels []string) (map[string]any, error) {
	label, err := FindSelectorLabel(s.Workload, selectorLabels)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.Target.Kind, s.Target.Name, err)
	}
	t, err := decodeTemplate(s.Template)
	if err != nil {
		return nil, err
	}
	copies := map[string]string{}
	for _, c := range s.Configs {
		copies[c.Key()] = c.Copy
	}
	absent := map[string]bool{}
	for _, k := range s.Absent {
		absent[k] = true
	}
	eachRef(t, func(r site) {
		k := key(r.kind, r.name())
		if c, ok := copies[k]; ok {
			r.rename(c)
		} else if absent[k] {
			// When it is created one day, that is a change to be analysed; until then these pods must not read it.
			r.rename(CopyName(r.name(), absentCopy))
		}
	})
	meta := ensureObject(t, "metadata")
	for _, field := range []string{"labels", "annotations"} {
		dropOwnership(object(meta, field))
	}
	ensureObject(meta, "labels")[label.Key] = label.Primary().Value
	separate(object(t, "spec"), renamer(s.Target.Name, label, selectorLabels))
	return jsonObject(t)
}

// PrimaryObject renders the complete primary of a Deployment or DaemonSet. It needs nothing but the snapshot, so it can be made again when
// primary and target are both gone.
func PrimaryObject(s Snapshot, o PrimaryOptions) (*unstructured.Unstructured, error) {
	template, err := PrimaryTemplate(s, o.SelectorLabels)
	if err != nil {
		return nil, err
	}
	label, err := FindSelectorLabel(s.Workload, o.SelectorLabels)
	if err != nil {
		return nil, err
	}
	d, err := s.Digest()
	if err != nil {
		return nil, err
	}
	spec, err := decodeTemplate(s.Workload)
	if err != nil {
		return nil, err
	}
	suffixSelector(object(spec, "selector"), label)
	annotations := map[string]string{AnnotationRevision: d}
	if err := o.markRotated(template, annotations); err != nil {
		return nil, err
	}
	spec["template"] = template
	if s.Target.Kind == DaemonSet {
		spec["updateStrategy"] = surge(object(spec, "updateStrategy"))
	} else {
		spec["replicas"] = int64(o.Replicas)
	}
	if spec, err = jsonObject(spec); err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": s.Target.Kind, "spec": spec}}
	u.SetNamespace(o.Canary.Namespace)
	u.SetName(s.Target.Name + PrimarySuffix)
	for k, v := range s.Annotations {
		if included(k, o.IncludeLabelPrefixes) {
			annotations[k] = v
		}
	}
	u.SetLabels(primaryLabels(s.Labels, label, o))
	u.SetAnnotations(annotations)
	u.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(o.Canary, v1beta1.GroupVersion.WithKind("Canary"))})
	return u, nil
}

// surge returns the strategy of a primary DaemonSet: a new pod is ready before the old one of its node goes, on as many nodes at a time as the
// target's strategy lets go without. Users are on the primary while it is promoted, and where there is one node its pod may be the only one.
func surge(strategy map[string]any) map[string]any {
	rolling := object(strategy, "rollingUpdate")
	for _, field := range []string{"maxSurge", "maxUnavailable"} {
		switch n := rolling[field].(type) {
		case string:
			if n != "" && n != "0" && n != "0%" {
				return surging(n)
			}
		case json.Number:
			if n != "0" {
				return surging(n)
			}
		}
	}
	return surging(int64(1))
}

func surging(nodes any) map[string]any {
	return map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": nodes, "maxUnavailable": int64(0)}}
}

func primaryLabels(workload map[string]string, label SelectorLabel, o PrimaryOptions) map[string]string {
	out := map[string]string{}
	for k, v := range workload {
		if included(k, o.IncludeLabelPrefixes) {
			out[k] = v
		}
	}
	maps.Copy(out, map[string]string{
		label.Key:            label.Primary().Value,
		v1beta1.LabelTracked: v1beta1.TrackedPrimary,
		v1beta1.LabelCanary:  LabelValue(o.Canary.Name),
	})
	return out
}

// internal are parts of the keys in which this program, and a Deployment's own controller, keep what they know of one object.
var internal = []string{"sluice.dev/", "deployment.kubernetes.io/"}

// maxAnnotation is the size, in bytes, above which an annotation is taken for data that a program keeps there. An object may carry 256 KiB of them,
// which would keep the snapshot of a large template from being stored.
const maxAnnotation = 1 << 10

// ownAnnotations leaves out what other programs keep there: it is theirs, and may be large.
func ownAnnotations(all map[string]string) map[string]string {
	var out map[string]string
	for k, v := range all {
		if included(k, []string{"*"}) && len(v) <= maxAnnotation {
			if out == nil {
				out = map[string]string{}
			}
			out[k] = v
		}
	}
	return out
}

func included(label string, prefixes []string) bool {
	if containsAny(label, ownership) || containsAny(label, managedLabels) || containsAny(label, internal) {
		return false
	}
	for _, p := range prefixes {
		if p == "*" || (p != "" && strings.HasPrefix(label, p)) {
			return true
		}
	}
	return false
}

// suffixSelector turns the target's selector into the primary's. Expressions about the rewritten label would exclude the primary's pods.
func suffixSelector(selector map[string]any, label SelectorLabel) {
	ensureObject(selector, "matchLabels")[label.Key] = label.Primary().Value
	list, ok := selector["matchExpressions"].([]any)
	if !ok {
		return
	}
	var kept []any
	for _, e := range list {
		if o, ok := e.(map[string]any); !ok || o["key"] != label.Key {
			kept = append(kept, e)
		}
	}
	delete(selector, "matchExpressions")
	if len(kept) > 0 {
		selector["matchExpressions"] = kept
	}
}

// rename returns the value that a selector on pods takes in the primary.
type rename func(key, value string) string

// renamer suffixes values that select the target's own pods: its name under any selector label, and the value of the label in use.
func renamer(target string, label SelectorLabel, keys []string) rename {
	if len(keys) == 0 {
		keys = DefaultSelectorLabels()
	}
	own := map[SelectorLabel]bool{label: true}
	for _, k := range keys {
		own[SelectorLabel{Key: k, Value: target}] = true
	}
	return func(key, value string) string {
		if own[SelectorLabel{Key: key, Value: value}] {
			return value + PrimarySuffix
		}
		return value
	}
}

// separate points anti-affinity and topology spread at the primary's own pods, so that target and primary do not push each other around.
func separate(spec map[string]any, r rename) {
	anti := object(object(spec, "affinity"), "podAntiAffinity")
	for _, term := range objects(anti, "requiredDuringSchedulingIgnoredDuringExecution") {
		r.apply(object(term, "labelSelector"))
	}
	for _, weighted := range objects(anti, "preferredDuringSchedulingIgnoredDuringExecution") {
		r.apply(object(object(weighted, "podAffinityTerm"), "labelSelector"))
	}
	for _, c := range objects(spec, "topologySpreadConstraints") {
		r.apply(object(c, "labelSelector"))
	}
}

func (r rename) apply(selector map[string]any) {
	match := object(selector, "matchLabels")
	for k, v := range match {
		if s, ok := v.(string); ok {
			match[k] = r(k, s)
		}
	}
	for _, e := range objects(selector, "matchExpressions") {
		k, _ := e["key"].(string)
		values, _ := e["values"].([]any)
		for i, v := range values {
			if s, ok := v.(string); ok {
				values[i] = r(k, s)
			}
		}
	}
}

func dropOwnership(m map[string]any) {
	for k := range m {
		if containsAny(k, ownership) {
			delete(m, k)
		}
	}
}

func containsAny(key string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(key, part) })
}

func ensureObject(m map[string]any, field string) map[string]any {
	o := object(m, field)
	if o == nil {
		o = map[string]any{}
		m[field] = o
	}
	return o
}

// jsonObject gives an object the number types that Kubernetes' libraries expect in unstructured content.
func jsonObject(m map[string]any) (map[string]any, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the primary: %w", err)
	}
	u := map[string]any{}
	if err := utiljson.Unmarshal(raw, &u); err != nil {
		return nil, fmt.Errorf("encode the primary: %w", err)
	}
	return u, nil
}
