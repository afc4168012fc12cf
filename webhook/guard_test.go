package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// handlerFunc is a handler made of a function.
type handlerFunc func(context.Context) (answer, error)

func (f handlerFunc) handle(ctx context.Context, _ admission.Request) (answer, error) { return f(ctx) }

// ask sends a review through controller-runtime's HTTP handler, as the API server would, and returns the answer and the counted outcome.
func ask(t *testing.T, body string, h handler) (*admissionv1.AdmissionResponse, string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	hook := &admission.Webhook{Handler: guard{path: "/test", inner: h, reach: reach{username: own, namespace: "test"}, metrics: m, now: time.Now}}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/test", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	hook.ServeHTTP(w, req)
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&review); err != nil {
		t.Fatalf("answer %q: %v", w.Body, err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			for _, l := range metric.GetLabel() {
				if l.GetName() == "outcome" {
					return review.Response, l.GetValue()
				}
			}
		}
	}
	return review.Response, ""
}

const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","operation":"UPDATE","namespace":"test"}}`

func TestGuardNeverDeniesByAccident(t *testing.T) {
	hold := Operation{Op: "add", Path: "/spec/paused", Value: true}
	tests := map[string]struct {
		h       handler
		outcome string
		warning string
		patch   string
	}{
		"a panic": {
			h:       handlerFunc(func(context.Context) (answer, error) { panic("a defect") }),
			outcome: outcomePanicked, warning: "it is allowed",
		},
		"an error": {
			h:       handlerFunc(func(context.Context) (answer, error) { return answer{}, errors.New("the cache is cold") }),
			outcome: outcomeFailed, warning: "the cache is cold",
		},
		"an error after the decision keeps the hold": {
			h: handlerFunc(func(context.Context) (answer, error) {
				return answer{patches: []Operation{hold}}, errors.New("not stored")
			}),
			outcome: outcomeFailed, warning: "not stored", patch: `[{"op":"add","path":"/spec/paused","value":true}]`,
		},
		"no answer in time": {
			h: handlerFunc(func(ctx context.Context) (answer, error) {
				<-ctx.Done()
				return answer{}, ctx.Err()
			}),
			outcome: outcomeFailed, warning: "deadline exceeded",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			resp, outcome := ask(t, review, tt.h)
			if !resp.Allowed || resp.UID != "u1" {
				t.Errorf("response %+v, want an answer to u1 that allows", resp)
			}
			if outcome != tt.outcome {
				t.Errorf("counted as %q, want %q", outcome, tt.outcome)
			}
			if len(resp.Warnings) != 1 || !strings.Contains(resp.Warnings[0], tt.warning) {
				t.Errorf("warnings %q, want one with %q", resp.Warnings, tt.warning)
			}
			if string(resp.Patch) != tt.patch {
				t.Errorf("patch %s, want %s", resp.Patch, tt.patch)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %s, longer than the API server waits", took)
			}
		})
	}
}

func TestGuardDeniesWithAllProblems(t *testing.T) {
	h := handlerFunc(func(context.Context) (answer, error) {
		return answer{denials: []string{"spec.a: is wrong", "spec.b: is wrong too"}, warnings: []string{"look"}}, errors.New("and more")
	})
	resp, outcome := ask(t, review, h)
	if resp.Allowed || outcome != outcomeDenied {
		t.Fatalf("allowed %v, counted as %q", resp.Allowed, outcome)
	}
	if resp.Result.Code != http.StatusUnprocessableEntity || resp.Result.Message != "2 problems\nspec.a: is wrong\nspec.b: is wrong too" {
		t.Errorf("result %+v, want both problems on lines of their own", resp.Result)
	}
}

func TestGuardPassesOnWhatConcernsSluice(t *testing.T) {
	asked := false
	h := handlerFunc(func(context.Context) (answer, error) {
		asked = true
		return answer{}, nil
	})
	for body, want := range map[string]bool{
		review: true,
		strings.Replace(review, `"test"`, `"other"`, 1):                                      false,
		strings.Replace(review, `"test"`, `"test","subResource":"scale"`, 1):                 false,
		strings.Replace(review, `"test"`, `"test","userInfo":{"username":"`+own+`"}`, 1):     false,
		strings.Replace(review, `"test"`, `"test","userInfo":{"username":"`+own+`-two"}`, 1): true,
	} {
		asked = false
		if resp, _ := ask(t, body, h); !resp.Allowed || asked != want {
			t.Errorf("%s: allowed %v, handler asked %v; want it asked: %v", body, resp.Allowed, asked, want)
		}
	}
}

func TestRefusalIsBounded(t *testing.T) {
	var many []string
	for range 200 {
		many = append(many, strings.Repeat("x", 10_000))
	}
	resp, _ := ask(t, review, handlerFunc(func(context.Context) (answer, error) { return answer{denials: many}, nil }))
	if n := len(resp.Result.Message); resp.Allowed || n > 30_000 || !strings.HasPrefix(resp.Result.Message, "200 problems\n") {
		t.Errorf("allowed %v with %d bytes, want a bounded refusal that tells how many problems there are", resp.Allowed, n)
	}
}

// What cannot be understood must not look like a denial to the API server: an answer without the UID of the request counts as a failed call,
// which the failure policy lets pass.
func TestBrokenRequestsAreNoDenials(t *testing.T) {
	reached := handlerFunc(func(context.Context) (answer, error) { return answer{}, nil })
	for name, body := range map[string]string{
		"no JSON":   `{"apiVersion"`,
		"too large": strings.Replace(review, `"u1"`, `"u1","name":"`+strings.Repeat("x", 8<<20)+`"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if resp, _ := ask(t, body, reached); resp.UID != "" {
				t.Errorf("response %+v answers the request", resp)
			}
		})
	}
}

func TestWarningsAreBounded(t *testing.T) {
	var many []string
	for range 40 {
		many = append(many, strings.Repeat("ä", 200)+"\nsecond line")
	}
	got := bounded(many)
	if len(got) != MaxWarnings {
		t.Fatalf("%d warnings, want %d", len(got), MaxWarnings)
	}
	for _, w := range got {
		if len(w) > MaxWarning || strings.Contains(w, "\n") || strings.ContainsRune(w, '�') {
			t.Errorf("warning %q is longer than %d bytes, more than a line or cut within a character", w, MaxWarning)
		}
	}
	if last := got[MaxWarnings-1]; last != "Sluice: 26 more warnings are left out" {
		t.Errorf("last warning is %q", last)
	}
	if len(bounded(nil)) != 0 {
		t.Error("no warnings became some")
	}
}

func TestChangeWarningSaysWhatFollows(t *testing.T) {
	weighted := canary("test", "podinfo")
	weighted.Status.Phase = "Succeeded"
	weighted.Spec.Analysis.Iterations, weighted.Spec.Analysis.StepWeight, weighted.Spec.Analysis.MaxWeight = 0, 10, 50
	fine := weighted.DeepCopy()
	fine.Spec.Analysis.StepWeight = 5
	skip := weighted.DeepCopy()
	skip.Spec.SkipAnalysis = true
	suspended := weighted.DeepCopy()
	suspended.Spec.Suspend = true
	home := weighted.DeepCopy()
	home.Spec.Primary, home.Status.TargetServes = &v1beta1.PrimarySpec{Lifecycle: v1beta1.LifecycleEphemeral}, true
	kept := home.DeepCopy()
	kept.Status.RetainUntil = &metav1.MicroTime{Time: time.Unix(1, 0)}
	failedHome := home.DeepCopy()
	failedHome.Status.FailedRevision = "bbbb"
	failed := failedHome.DeepCopy()
	failed.Status.TargetServes = false
	running := weighted.DeepCopy()
	running.Status.Rollout = &v1beta1.RolloutStatus{Revision: "bbbb"}
	const steps = "10, 20, 30, 40, 50 % of traffic, checked every 30s"
	for want, got := range map[string]string{
		"Sluice: this change is held until the primary of podinfo serves the users with the version before it; then " + steps: changeWarning(home, true),
		"Sluice: this change is held until the primary of podinfo serves the users with the version before it; then " + steps +
			", unless the primary is kept with that version: then users turn to it at once": changeWarning(kept, true),
		"Sluice: this change is held until the primary of podinfo has the users, or its template is the one before; then " + steps +
			", unless it is the promoted version again": changeWarning(failedHome, true),
		"Sluice: this change is held until its rollout begins, while the primary of podinfo goes on serving; then " + steps +
			", unless it is the promoted version again": changeWarning(failed, true),
		"Sluice: this change is held until traffic has left the canary of podinfo; then " + steps + ", unless it is the promoted version again": changeWarning(running, true),
		"Sluice: the last revision is kept and a primary of it is made for the users; to leave, delete canary podinfo":                          deletionWarning(home),
		"Sluice: podinfo stays held until the primary of podinfo serves the users with the version before it. " +
			"kubectl's rollout undo and restart are refused meanwhile: apply the version that you want, it takes the place of this one": stillHeld(home),
		"Sluice: podinfo is paused by its owner: this change waits for kubectl rollout resume, and is rolled out by canary podinfo then":      pausedWarning(home),
		"Sluice: this change starts a canary rollout of podinfo: 10, 20, 30, 40, 50 % of traffic, checked every 30s":                          changeWarning(weighted, false),
		"Sluice: this change starts a canary rollout of podinfo: 10 steps from 5 % to 50 % of traffic, checked every 30s":                     changeWarning(fine, false),
		"Sluice: this change starts a canary rollout of podinfo: it is promoted without analysis (spec.skipAnalysis)":                         changeWarning(skip, false),
		"Sluice: canary podinfo is suspended; this change is rolled out once spec.suspend is false":                                           changeWarning(suspended, false),
		"Sluice: this change is held until traffic has left the canary of podinfo; then 10, 20, 30, 40, 50 % of traffic, checked every 30s":   changeWarning(weighted, true),
		"Sluice: this change is held until the primary of canary podinfo serves the version before it; then it is checked 5 times, every 30s": changeWarning(canary("test", "podinfo"), true),
		"Sluice: the last revision is kept and the primary goes on serving; to leave, delete canary podinfo":                                  deletionWarning(weighted),
		"Sluice: the last revision is kept; canary podinfo waits for its target to come back":                                                 deletionWarning(canary("test", "podinfo")),
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if len(got) > MaxWarning {
			t.Errorf("%d bytes, want at most %d: %s", len(got), MaxWarning, got)
		}
	}
}
