package loadtester

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxGates bounds what callers can take by opening gates: memory, or the megabyte of a ConfigMap, with names as long as they can be.
const maxGates = 2000

var errGates = errors.New("too many gates are open: close some")

// Gates remembers which gates are open; one that was never opened is closed. Implementations are safe for concurrent use.
type Gates interface {
	// Open tells whether a gate is open, Set opens or closes it. Errors say what to do.
	Open(ctx context.Context, key string) (bool, error)
	Set(ctx context.Context, key string, open bool) error
}

// Kinds of gates. A key begins with its kind, so a Canary that is named rollback.x has nothing to do with the rollback switch of x.
const (
	gateKind     = "gate"
	rollbackKind = "rollback"
)

func gateKey(kind string, p payload) string {
	return fmt.Sprintf("%s.%s.%s", kind, p.Name, p.Namespace)
}

// memoryGates last as long as the process, and no other replica knows of them.
type memoryGates struct {
	mu   sync.RWMutex
	open map[string]bool
}

func newMemoryGates() *memoryGates { return &memoryGates{open: map[string]bool{}} }

// Open implements Gates.
func (g *memoryGates) Open(_ context.Context, key string) (bool, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.open[key], nil
}

// Set implements Gates.
func (g *memoryGates) Set(_ context.Context, key string, open bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !open {
		delete(g.open, key)
		return nil
	}
	if len(g.open) >= maxGates && !g.open[key] {
		return errGates
	}
	g.open[key] = true
	return nil
}
