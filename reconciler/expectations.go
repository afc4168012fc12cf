package reconciler

import (
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// remember is how long a write is preferred to the cache. A cache further behind than this is cut off from the API server, and then
// the version that every write carries protects what is newer.
const remember = time.Minute

// written remembers objects as the API server returned them from a write, until the cache has caught up: deciding on an older state
// would bring back an intent that was already replaced.
type written struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	last  map[objectKey]note
}

type objectKey struct {
	kind      string
	namespace string
	name      string
}

type note struct {
	object client.Object
	at     time.Time
}

func newWritten(c clock.PassiveClock) *written {
	return &written{clock: c, last: map[objectKey]note{}}
}

func keyOf(o client.Object) objectKey {
	return objectKey{kind: kindOf(o), namespace: o.GetNamespace(), name: o.GetName()}
}

// kindOf tells objects of different kinds apart. Typed objects do not always carry their kind; unstructured ones have no type of their own.
func kindOf(o client.Object) string {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return "unstructured " + u.GetKind()
	}
	return reflect.TypeOf(o).Elem().Name()
}

// wrote notes an object that a write returned.
func (w *written) wrote(o client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	w.last[keyOf(o)] = note{object: o.DeepCopyObject().(client.Object), at: w.clock.Now()}
}

// created returns what was written of an object that the cache does not know yet.
func (w *written) created(o client.Object) client.Object {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	return w.last[keyOf(o)].object
}

// gone forgets an object that the API server does not have.
func (w *written) gone(o client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, keyOf(o))
}

// expire drops old notes. The lock is held.
func (w *written) expire() {
	for k, n := range w.last {
		if w.clock.Since(n.at) > remember {
			delete(w.last, k)
		}
	}
}

// newer returns the noted object if it is newer than the cached one, and forgets it once it is not. The lock is held.
func (w *written) newer(cached client.Object) client.Object {
	k := keyOf(cached)
	n, ok := w.last[k]
	if !ok {
		return nil
	}
	// What cannot be compared is not known to be newer.
	if c, err := resourceversion.CompareResourceVersion(n.object.GetResourceVersion(), cached.GetResourceVersion()); err != nil || c <= 0 {
		delete(w.last, k)
		return nil
	}
	return n.object.DeepCopyObject().(client.Object)
}

// latest returns the newer of a cached object and what was last written to it.
func latest[T client.Object](w *written, cached T) T {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	if n, ok := w.newer(cached).(T); ok {
		return n
	}
	return cached
}

// latestList does the same for the objects of a list, and adds those that were created but are not in the cache yet, where want accepts
// them. The cache's own objects are replaced in place.
func latestList[T client.Object](w *written, cached []T, want func(T) bool) []T {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	seen := map[objectKey]bool{}
	for i := range cached {
		seen[keyOf(cached[i])] = true
		if n, ok := w.newer(cached[i]).(T); ok {
			cached[i] = n
		}
	}
	for k, n := range w.last {
		if o, ok := n.object.(T); ok && !seen[k] && want(o) {
			cached = append(cached, o.DeepCopyObject().(T))
		}
	}
	return cached
}
