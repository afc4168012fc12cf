package httpx

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Failure is why a call brought no answer of 2xx, as far as its caller may act on it.
type Failure struct {
	// Status of the answer; 0 without one.
	Status int
	// After is how long the server asks to wait; 0 where it does not say.
	After time.Duration
	// Unsent tells that no connection came about, so that the server knows nothing of the call.
	Unsent bool

	text string
}

// Error says what came back, without credentials.
func (f *Failure) Error() string { return f.text }

// unsent tells whether an error arose before a connection was there.
func unsent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// asked reads the header Retry-After where it holds seconds.
func asked(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(time.Hour/time.Second))) * time.Second
}
