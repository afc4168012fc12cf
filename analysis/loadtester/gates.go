package loadtester

import (
	"errors"
	"sync"
)

// maxGates bounds the memory that callers can take by opening gates.
const maxGates = 10_000

var errGates = errors.New("too many gates are open: close some")

// gates remembers which gates are open; one that was never opened is closed. It is safe for concurrent use.
type gates struct {
	mu   sync.RWMutex
	open map[string]bool
}

func newGates() *gates { return &gates{open: map[string]bool{}} }

func (g *gates) isOpen(key string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.open[key]
}

func (g *gates) set(key string, open bool) error {
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
