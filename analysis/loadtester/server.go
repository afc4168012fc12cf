package loadtester

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// maxBody bounds a call, in bytes.
const maxBody = 64 << 10

// server answers the HTTP interface.
type server struct {
	queue      *queue
	gates      Gates
	namespaces *regexp.Regexp // nil allows all
	tokens     Tokens
	metrics    *metrics
	log        *zap.Logger

	programs  Programs
	examining chan struct{} // as many checks as may run at once
	timeout   time.Duration // bounds a check
	stopping  context.Context
}

// payload is what a Canary's webhook sends, as far as it is of use here.
type payload struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Metadata  map[string]string `json:"metadata"`
}

// canary is Flagger's key of a Canary.
func (p payload) canary() string { return p.Name + "." + p.Namespace }

// refusal is an error with the HTTP status that says it.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, err: fmt.Errorf(format, args...)}
}

// handler returns the routes: Flagger's paths, any method, as Flagger has it.
func (s *server) handler(gatherer prometheus.Gatherer) http.Handler {
	r := mux.NewRouter()
	r.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "OK") })
	r.Handle("/metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	r.HandleFunc("/gate/approve", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "Approved") })
	r.HandleFunc("/gate/halt", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusForbidden, "Forbidden") })
	for path, kind := range map[string]string{"/gate": gateKind, "/rollback": rollbackKind} {
		r.HandleFunc(path+"/check", s.call(s.checkGate(kind)))
		r.HandleFunc(path+"/open", s.call(s.authorised(s.setGate(kind, true))))
		r.HandleFunc(path+"/close", s.call(s.authorised(s.setGate(kind, false))))
	}
	r.HandleFunc("/", s.call(s.authorised(s.doTask)))
	return r
}

// action answers a call whose payload is in order.
type action func(http.ResponseWriter, *http.Request, payload) error

// authorised has an action done only for those who may change something in the payload's namespace.
func (s *server) authorised(do action) action {
	return func(w http.ResponseWriter, r *http.Request, p payload) error {
		if err := s.tokens.allow(r, p.Namespace); err != nil {
			return err
		}
		return do(w, r, p)
	}
}

// call decodes and checks a payload, and turns refusals into answers.
func (s *server) call(do action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := s.decode(w, r)
		if err == nil {
			err = do(w, r, p)
		}
		if err == nil {
			return
		}
		status := http.StatusInternalServerError
		if refused, ok := errors.AsType[*refusal](err); ok {
			status = refused.status
		}
		s.metrics.refused.WithLabelValues(strconv.Itoa(status)).Inc()
		s.log.Info("call refused", zap.String("path", r.URL.Path), zap.String("canary", p.canary()), zap.Int("status", status), zap.Error(err))
		switch status {
		case http.StatusTooManyRequests:
			w.Header().Set("Retry-After", "5")
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		answer(w, status, err.Error())
	}
}

func (s *server) decode(w http.ResponseWriter, r *http.Request) (payload, error) {
	var p payload
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&p)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return p, refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", maxBody)
	case err != nil:
		return payload{}, refuse(http.StatusBadRequest, "the body is not a webhook payload in JSON: %w", err)
	case p.Name == "" || p.Namespace == "":
		return p, refuse(http.StatusBadRequest, `the body lacks name or namespace of the Canary: send {"name": "...", "namespace": "..."}`)
	case s.namespaces != nil && !s.namespaces.MatchString(p.Namespace):
		return p, refuse(http.StatusForbidden, "namespace %q is not served here: it does not match --namespace-regexp", p.Namespace)
	}
	return p, nil
}

// checkGate answers 503 where nobody knows whether the gate is open: that approves nothing, and rolls nothing back.
func (s *server) checkGate(kind string) action {
	return func(w http.ResponseWriter, r *http.Request, p payload) error {
		open, err := s.gates.Open(r.Context(), gateKey(kind, p))
		switch {
		case err != nil:
			return refuse(http.StatusServiceUnavailable, "%w", err)
		case open:
			answer(w, http.StatusOK, "Approved")
		default:
			answer(w, http.StatusForbidden, "Forbidden")
		}
		return nil
	}
}

func (s *server) setGate(kind string, open bool) action {
	return func(w http.ResponseWriter, r *http.Request, p payload) error {
		key := gateKey(kind, p)
		switch err := s.gates.Set(r.Context(), key, open); {
		case errors.Is(err, errGates):
			return refuse(http.StatusTooManyRequests, "%w", err)
		case err != nil:
			return refuse(http.StatusServiceUnavailable, "%w", err)
		}
		s.log.Info("gate set", zap.String("gate", key), zap.Bool("open", open))
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
}

// answer writes a status and a line of text. The client may be gone; there is nobody to tell then.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
