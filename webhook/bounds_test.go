package webhook

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// reading answers with what it could read.
var reading = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
})

func TestBodiesAreBoundedTogether(t *testing.T) {
	b := &bounds{timeout: bodyTimeout, limit: 100}
	send := func(h http.Handler, size int) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size))))
		return w.Code
	}
	inner := 0
	nested := b.around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reading(w, r)
		inner = send(b.around(reading), 60)
	}))
	if outer := send(nested, 60); outer != http.StatusOK || inner != http.StatusServiceUnavailable {
		t.Errorf("60 bytes while 60 of 100 are held: status %d, want them refused; the first: %d", inner, outer)
	}
	if b.held.Load() != 0 {
		t.Errorf("%d bytes are held by nobody", b.held.Load())
	}
	if code := send(b.around(reading), 60); code != http.StatusOK {
		t.Errorf("60 bytes afterwards: status %d, want 200", code)
	}
}
