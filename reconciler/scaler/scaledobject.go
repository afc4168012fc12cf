package scaler

import (
	"encoding/json"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// scaledObject is KEDA's autoscaler. It gives a workload without replicas pods as soon as one of its triggers is active, so that of an idle target
// is paused.
type scaledObject struct{}

// What a ScaledObject without limits means.
const (
	kedaMin = 0
	kedaMax = 100
)

// annotationPaused pauses a ScaledObject at a number of replicas; all of KEDA's annotations that pause begin with pausedPrefix.
const (
	pausedPrefix     = "autoscaling.keda.sh/paused"
	annotationPaused = "autoscaling.keda.sh/paused-replicas"
	idle             = "0"
)

func (scaledObject) GroupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: ScaledObject}
}

func (scaledObject) Limits(u *unstructured.Unstructured) Limits {
	spec := section(u.Object, "spec")
	low := or(spec, "minReplicaCount", kedaMin)
	return Limits{Min: low, Max: max(low, or(spec, "maxReplicaCount", kedaMax))}
}

// limit leaves limits out that are KEDA's own, so that a copy does not differ from its source where nothing is asked for.
func (scaledObject) limit(spec map[string]any, l Limits) {
	set := func(field string, n, absent int32) {
		if or(spec, field, absent) != n {
			spec[field] = int64(n)
		}
	}
	set("minReplicaCount", l.Min, kedaMin)
	set("maxReplicaCount", l.Max, kedaMax)
}

// was is the value of the mark on a paused ScaledObject.
type was struct {
	// Replicas is what its user had paused it at; empty where it was not paused.
	Replicas string `json:"replicas,omitempty"`
}

// Pause sets the annotation by which KEDA stops scaling and keeps no replicas. One that is there already and says otherwise is the user's, who may
// have changed it since; it is kept in the mark.
func (scaledObject) Pause(u *unstructured.Unstructured) {
	annotations := cloned(u.GetAnnotations())
	current := annotations[annotationPaused]
	_, marked := annotations[v1beta1.AnnotationScalerPaused]
	if marked && current == idle {
		return
	}
	var user was
	if current != idle {
		// Nothing of the user's is behind what Flagger has paused.
		user.Replicas = current
	}
	// A struct of strings always has a JSON form.
	raw, _ := json.Marshal(user)
	annotations[annotationPaused], annotations[v1beta1.AnnotationScalerPaused] = idle, string(raw)
	u.SetAnnotations(annotations)
}

// Resume also takes off a pause at no replicas that carries no mark: so Flagger leaves it, and with it no rollout could go on.
func (scaledObject) Resume(u *unstructured.Unstructured) {
	annotations := cloned(u.GetAnnotations())
	mark, marked := annotations[v1beta1.AnnotationScalerPaused]
	current, paused := annotations[annotationPaused]
	if !marked && (!paused || current != idle) {
		return
	}
	delete(annotations, v1beta1.AnnotationScalerPaused)
	if current == idle {
		var user was
		// A mark that somebody has spoilt says nothing.
		if err := json.Unmarshal([]byte(mark), &user); err != nil || user.Replicas == "" {
			delete(annotations, annotationPaused)
		} else {
			annotations[annotationPaused] = user.Replicas
		}
	}
	u.SetAnnotations(annotations)
}

// rewrite has the copy ask about the primary and name the autoscaler that KEDA makes for it.
func (scaledObject) rewrite(spec map[string]any, target string, ref *v1beta1.AutoscalerReference) {
	config := section(spec, "advanced", "horizontalPodAutoscalerConfig")
	if name, _ := config["name"].(string); name != "" {
		config["name"] = name + suffix
	}
	triggers, _ := spec["triggers"].([]any)
	for _, t := range triggers {
		trigger, _ := t.(map[string]any)
		metadata := section(trigger, "metadata")
		query, asks := metadata["query"].(string)
		name, _ := trigger["name"].(string)
		switch own, given := ref.PrimaryScalerQueries[name]; {
		case given && name != "" && metadata != nil:
			metadata["query"] = own
		case asks && len(ref.PrimaryScalerQueries) == 0:
			metadata["query"] = Rename(query, target)
		}
	}
}

// inherits leaves out pauses, which would stop the primary, and the label in which KEDA writes the object's own name.
func (scaledObject) inherits(key string, label bool) bool {
	if label && strings.HasPrefix(key, "scaledobject.keda.sh/") {
		return false
	}
	return others(key) && !strings.HasPrefix(key, pausedPrefix)
}

func cloned(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}
