package mesh

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// remembered is how long a write is preferred to the cache. A cache that is further behind is cut off from the API server; from then on the version
// that each write carries is the protection.
const remembered = time.Minute

// memory holds objects as the API server returned them from a write, until the cache shows them. Without it a step that is taken back at once would
// look as if it had never been made: the cache still shows the weights from before it, and nothing would be written.
type memory struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	notes map[memoryKey]note
}

type memoryKey struct {
	object    Object
	namespace string
}

type note struct {
	object *unstructured.Unstructured
	at     time.Time
}

func newMemory(c clock.PassiveClock) *memory {
	return &memory{clock: c, notes: map[memoryKey]note{}}
}

// wrote notes an object that a write returned. It must not be changed afterwards.
func (m *memory) wrote(o Object, u *unstructured.Unstructured) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, n := range m.notes {
		if m.clock.Since(n.at) > remembered {
			delete(m.notes, k)
		}
	}
	m.notes[memoryKey{o, u.GetNamespace()}] = note{u, m.clock.Now()}
}

// forget drops what was noted; a failed write tells that it is no longer so.
func (m *memory) forget(o Object, namespace string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.notes, memoryKey{o, namespace})
}

// latest returns the newer of what the cache shows, nil for nothing, and what was noted.
func (m *memory) latest(o Object, key client.ObjectKey, cached *unstructured.Unstructured) *unstructured.Unstructured {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := memoryKey{o, key.Namespace}
	n, ok := m.notes[k]
	if !ok {
		return cached
	}
	if m.clock.Since(n.at) <= remembered && newer(n.object, cached) {
		return n.object
	}
	delete(m.notes, k)
	return cached
}

// newer tells whether a noted object is newer than the cached one. What cannot be compared is not known to be newer.
func newer(noted, cached *unstructured.Unstructured) bool {
	if cached == nil {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(noted.GetResourceVersion(), cached.GetResourceVersion())
	return err == nil && order > 0
}
