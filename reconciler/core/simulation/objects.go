package simulation

import "time"

// moment is a time, counted from the beginning of the world.
type moment = time.Duration

// never is later than everything.
const never = moment(1<<63 - 1)

// object is something that the API server stores and that the controller sees through a cache.
type object[T comparable] struct {
	real, seen T
	// version counts changes, seenVersion is that of seen.
	version, seenVersion int
	// due is when the cache catches up.
	due moment
}

// stored is an object that the controller has seen as it is.
func stored[T comparable](v T) object[T] { return object[T]{real: v, seen: v, due: never} }

// fresh tells that a write of the controller meets the object that it decided on.
func (o *object[T]) fresh() bool { return o.seenVersion == o.version }

// catchUp shows the controller the object as it is.
func (o *object[T]) catchUp() {
	o.seen, o.seenVersion, o.due = o.real, o.version, never
}

// kind is a kind of objects that is watched on its own.
type kind int

const (
	kindCanary kind = iota
	kindTarget
	kindPrimary
	kindServices
	kindEndpoints
	kindRoute
	kindSnapshots
	kindConfig
	kinds
)

// kindNames are for stories.
var kindNames = [kinds]string{"Canaries", "the target", "the primary", "Services", "endpoints", "the route", "snapshots", "the config"}

// changed notes that somebody other than the controller has changed an object; the cache follows.
func changed[T comparable](w *World, k kind, o *object[T]) {
	o.version++
	at := max(w.now+w.lag(), w.brokenUntil[k])
	if o.due == never || at > o.due && w.brokenUntil[k] > w.now {
		o.due = at
	}
}

// set changes an object on behalf of somebody other than the controller, if the value is new.
func set[T comparable](w *World, k kind, o *object[T], v T) bool {
	if o.real == v {
		return false
	}
	o.real = v
	changed(w, k, o)
	return true
}

// write is the controller's: it changes what it has seen. It fails when the object has changed since.
func write[T comparable](w *World, o *object[T], v T) bool {
	if v == o.seen {
		return true
	}
	if !o.fresh() {
		w.conflict(o.due)
		return false
	}
	o.real = v
	o.version++
	// The API server answers with the object, so the controller knows what it wrote whatever its cache shows.
	o.seen, o.seenVersion = v, o.version
	w.awake = true
	return true
}
