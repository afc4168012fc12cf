package loadtester

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// examiner is a task that the caller waits for.
type examiner interface {
	// Examine tells in a line or more how it went. The error is what the caller is told where it did not go well. It ends with the context.
	Examine(ctx context.Context) (string, error)
	// String describes the task without anything confidential.
	String() string
}

var (
	errBusy = errors.New("too many checks run already: try again later, or raise --max-tasks")
	errGone = errors.New("the caller did not wait for the end")
)

// answerWith has a task done while the caller waits: 200 when it went well, 500 when it did not, as Flagger answers. The task ends with its caller.
func (s *server) answerWith(w http.ResponseWriter, r *http.Request, p payload, kind string, task examiner) error {
	select {
	case s.examining <- struct{}{}:
		defer func() { <-s.examining }()
	default:
		return refuse(http.StatusTooManyRequests, "%w", errBusy)
	}
	if err := s.waitFor(w, r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), s.timeout, errTimeout)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()

	log := s.log.With(zap.String("canary", p.canary()), zap.String("type", kind), zap.Stringer("task", task))
	text, err := task.Examine(ctx)
	switch {
	case r.Context().Err() != nil:
		err = errGone
	case s.stopping.Err() != nil:
		err = errStopped
	case errors.Is(context.Cause(ctx), errTimeout):
		err = errTimeout
	}
	if err != nil {
		s.metrics.checks.WithLabelValues(kind, "failed").Inc()
		log.Info("check failed", zap.Error(err))
		answer(w, http.StatusInternalServerError, err.Error())
		return nil
	}
	s.metrics.checks.WithLabelValues(kind, "passed").Inc()
	log.Info("check passed")
	answer(w, http.StatusOK, text)
	return nil
}

// waitFor gives a call as much time as a task may take, where others have seconds. The rest of the body is read, for only then is
// a caller that goes away noticed.
func (s *server) waitFor(w http.ResponseWriter, r *http.Request) error {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		return refuse(http.StatusBadRequest, "the body cannot be read: %w", err)
	}
	control := http.NewResponseController(w)
	return errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Now().Add(s.timeout+grace)))
}
