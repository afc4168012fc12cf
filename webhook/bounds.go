package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	// bodyTimeout bounds how long a body may take to arrive: API servers wait two seconds for the whole answer.
	bodyTimeout = 5 * time.Second
	// maxBodies bounds the bodies that are held at a time, in bytes: the ten largest changes that API servers take, or thousands of common
	// ones. Decoding takes several times as much.
	maxBodies = 32 << 20
)

// errBusy is the answer to a request for which there is no room.
var errBusy = errors.New("too many bytes of admission requests are being read at once; try again")

// bounds keep slow and large requests from taking what others need. One value serves all paths.
type bounds struct {
	timeout time.Duration
	limit   int64
	held    atomic.Int64
}

// around returns a handler whose requests' bodies are bounded in time, and all together in size. controller-runtime bounds the size of each.
func (b *bounds) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			control := http.NewResponseController(w)
			// Without a connection there is nothing to bound.
			_ = control.SetReadDeadline(time.Now().Add(b.timeout))
			body := &boundedBody{ReadCloser: r.Body, bounds: b, arrived: func() { _ = control.SetReadDeadline(time.Time{}) }}
			defer body.release()
			// The server looks at its own request's body to see whether the connection can serve another one.
			r = r.WithContext(r.Context())
			r.Body = body
		}
		next.ServeHTTP(w, r)
	})
}

// boundedBody counts what was read of a body as held until the request is answered.
type boundedBody struct {
	io.ReadCloser
	bounds *bounds
	read   int64
	// arrived is called at the body's end: the deadline was for reading, and must not end the request while it is looked at.
	arrived func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if b.bounds.held.Add(int64(n)) > b.bounds.limit {
		return 0, errBusy
	}
	if errors.Is(err, io.EOF) {
		b.arrived()
	}
	return n, err
}

func (b *boundedBody) release() { b.bounds.held.Add(-b.read) }

// whole passes on only the requests that carry what their operation always has. An API server sends no others.
type whole struct{ inner handler }

func (w whole) handle(ctx context.Context, req admission.Request) (answer, error) {
	before, after := len(req.OldObject.Raw) > 0, len(req.Object.Raw) > 0
	switch op := req.Operation; {
	case op == admissionv1.Create && after, op == admissionv1.Update && before && after, op == admissionv1.Delete && before:
		return w.inner.handle(ctx, req)
	default:
		return answer{}, fmt.Errorf("operation %.20q with oldObject %t and object %t is none that can be looked at", op, before, after)
	}
}

// operationName is the label of a request's operation: whoever reaches the port must not be able to make up series.
func operationName(op admissionv1.Operation) string {
	switch op {
	case admissionv1.Create, admissionv1.Update, admissionv1.Delete:
		return string(op)
	default:
		return "other"
	}
}
