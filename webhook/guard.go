package webhook

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// answer is what a handler makes of a request.
type answer struct {
	patches  []Operation
	warnings []string
	// denials refuse the request, one problem each; forbidden tells that the user lacks a right.
	denials   []string
	forbidden bool
}

// handler answers one request. An error next to an answer tells that something went wrong on the way, yet the answer stands.
type handler interface {
	handle(ctx context.Context, req admission.Request) (answer, error)
}

// guard stands between the API server and a handler: it bounds the time, survives panics, counts, and turns every failure into "allowed".
type guard struct {
	path  string
	inner handler
	// reach tells which requests are looked at.
	reach   reach
	metrics *metrics
	now     func() time.Time
}

// reach tells which requests concern Sluice. The webhook configurations say the same, but may be older or newer than the program.
type reach struct {
	// username is Sluice's own. Its writes carry a decision already.
	username string
	// namespace is the only one that is looked after; empty means all.
	namespace string
}

func (r reach) includes(req admission.Request) bool {
	return req.SubResource == "" && req.UserInfo.Username != r.username && (r.namespace == "" || r.namespace == req.Namespace)
}

// Handle implements admission.Handler.
func (g guard) Handle(ctx context.Context, req admission.Request) (resp admission.Response) {
	start := g.now()
	outcome := outcomePanicked
	defer func() {
		if p := recover(); p != nil {
			logf.FromContext(ctx).Error(fmt.Errorf("panic: %v", p), "admission handler panicked, the request is allowed", "stack", string(debug.Stack()))
			resp = allowed(answer{warnings: []string{warningPrefix +
				"an internal failure kept this request from being looked at; it is allowed, and the controller catches up"}})
		}
		dryRun := req.DryRun != nil && *req.DryRun
		g.metrics.observe(g.path, operationName(req.Operation), dryRun, outcome, g.now().Sub(start))
	}()
	if !g.reach.includes(req) {
		outcome = outcomeAllowed
		return allowed(answer{})
	}
	ctx, cancel := context.WithTimeout(ctx, budgetOf(ctx))
	defer cancel()

	a, err := g.inner.handle(ctx, req)
	outcome = outcomeOf(a, err)
	if err != nil {
		logf.FromContext(ctx).Error(err, "admission request was not handled completely, it is not denied for that")
		a.warnings = append(a.warnings, warningPrefix+"allowed, but not handled completely: "+err.Error())
	}
	if len(a.denials) > 0 {
		return denied(a)
	}
	return allowed(a)
}

func outcomeOf(a answer, err error) string {
	switch {
	case len(a.denials) > 0:
		return outcomeDenied
	case err != nil:
		return outcomeFailed
	case len(a.patches) > 0:
		return outcomePatched
	default:
		return outcomeAllowed
	}
}

func allowed(a answer) admission.Response {
	resp := admission.Allowed("")
	resp.Warnings = bounded(a.warnings)
	if len(a.patches) == 0 {
		return resp
	}
	raw, err := json.Marshal(a.patches)
	if err != nil {
		// Operations hold strings, booleans and maps of strings.
		panic(err)
	}
	jsonPatch := admissionv1.PatchTypeJSONPatch
	resp.Patch, resp.PatchType = raw, &jsonPatch
	return resp
}

// Bounds of a refusal, far above what people meet: they keep an answer small whatever a manifest holds.
const (
	maxDenials = 50
	maxDenial  = 500
)

// denied lists the problems, one per line, so that a person can solve them in one go. The API server puts its own words before the first line.
func denied(a answer) admission.Response {
	var list []string
	for _, d := range a.denials[:min(len(a.denials), maxDenials)] {
		list = append(list, oneLine(d, maxDenial))
	}
	if n := len(a.denials); n > 1 {
		list = append([]string{fmt.Sprintf("%d problems", n)}, list...)
	}
	resp := admission.Denied(strings.Join(list, "\n"))
	resp.Result.Code = http.StatusUnprocessableEntity
	resp.Result.Reason = metav1.StatusReasonInvalid
	if a.forbidden {
		resp.Result.Code, resp.Result.Reason = http.StatusForbidden, metav1.StatusReasonForbidden
	}
	resp.Warnings = bounded(a.warnings)
	return resp
}
