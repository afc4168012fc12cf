package loadtester

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// gateOpen is the value of an open gate. Anything else that somebody writes there is no approval.
const gateOpen = "open"

// ConfigMaps is what SharedGates asks of an API server.
type ConfigMaps interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.ConfigMap, error)
	Patch(ctx context.Context, name string, kind types.PatchType, data []byte, o metav1.PatchOptions, subresources ...string) (*corev1.ConfigMap, error)
}

// SharedGates keeps gates in a ConfigMap: they outlive the process, and all replicas agree about them. Each look reads the ConfigMap
// itself, so a gate that was closed through one replica is closed for all from then on. It needs the rights get and patch on that one ConfigMap, and
// never creates it.
type SharedGates struct {
	configMaps ConfigMaps
	name       string
}

// NewSharedGates returns gates kept in the ConfigMap of a name, which has to exist.
func NewSharedGates(configMaps ConfigMaps, name string) *SharedGates {
	return &SharedGates{configMaps: configMaps, name: name}
}

// Open implements Gates.
func (g *SharedGates) Open(ctx context.Context, key string) (bool, error) {
	stored, err := g.configMaps.Get(ctx, g.name, metav1.GetOptions{})
	if err != nil {
		return false, g.explain("read", err)
	}
	return stored.Data[key] == gateOpen, nil
}

// Set implements Gates. It writes this one key, so that gates set at the same time do not undo each other.
func (g *SharedGates) Set(ctx context.Context, key string, open bool) error {
	if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
		return fmt.Errorf("gate %q cannot be kept: %s", key, problems[0])
	}
	var value *string // null removes the key
	if open {
		if err := g.room(ctx, key); err != nil {
			return err
		}
		value = new(gateOpen)
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]*string{key: value}})
	if err != nil {
		return err
	}
	if _, err := g.configMaps.Patch(ctx, g.name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return g.explain("write", err)
	}
	return nil
}

// room refuses a gate too many. Replicas that open gates at the same moment may go beyond by as many as they are.
func (g *SharedGates) room(ctx context.Context, key string) error {
	stored, err := g.configMaps.Get(ctx, g.name, metav1.GetOptions{})
	if err != nil {
		return g.explain("read", err)
	}
	if _, known := stored.Data[key]; !known && len(stored.Data) >= maxGates {
		return errGates
	}
	return nil
}

func (g *SharedGates) explain(verb string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s the gates: ConfigMap %q does not exist: create it, it may be empty: %w", verb, g.name, err)
	}
	return fmt.Errorf("%s the gates in ConfigMap %q: %w", verb, g.name, err)
}
