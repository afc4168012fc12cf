//go:build integration

package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// stranger is somebody who reaches the webhook's port without being an API server.
var stranger = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 200},
}

// post sends a body and returns the HTTP status and the answer, nil when that is no review.
func post(ctx context.Context, path, contentType string, body io.Reader) (int, *admissionv1.AdmissionResponse, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+world.address+path, body)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := stranger.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	var out admissionv1.AdmissionReview
	if json.Unmarshal(raw, &out) != nil {
		return resp.StatusCode, nil, nil
	}
	return resp.StatusCode, out.Response, nil
}

// works holds that an ordinary request is answered.
func works(t *testing.T) {
	t.Helper()
	code, resp, err := post(t.Context(), PathWorkloads, "application/json", strings.NewReader(review))
	if err != nil || code != http.StatusOK || resp == nil || !resp.Allowed || resp.UID != "u1" {
		t.Errorf("an ordinary request: status %d, answer %+v, %v; want it allowed", code, resp, err)
	}
}

// What no API server sends gets a clear answer, which is no denial of any request, and does not keep the next one from being answered.
func TestWhatIsNoReviewGetsAClearAnswer(t *testing.T) {
	const head = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"`
	tests := map[string]struct {
		contentType, body string
		// says is part of the answer's message or warning; allowed tells whether it allows.
		says    string
		allowed bool
	}{
		"malformed JSON":     {"application/json", `{"apiVersion"`, "unexpected end of JSON input", false},
		"no JSON at all":     {"application/json", "\x00\xff", "control characters", false},
		"other content type": {"text/plain", review, "expected application/json", false},
		"empty body":         {"application/json", "", "request body is empty", false},
		"no request":         {"application/json", head + `}`, "is none that can be looked at", true},
		"request is null":    {"application/json", head + `,"request":null}`, "is none that can be looked at", true},
		"request is a text":  {"application/json", head + `,"request":"x"}`, "cannot unmarshal", false},
		"other version":      {"application/json", strings.Replace(review, "k8s.io/v1", "k8s.io/v7", 1), "is none that can be looked at", true},
		"unknown kind":       {"application/json", `{"apiVersion":"v1","kind":"Pod"}`, "is none that can be looked at", true},
		"no objects":         {"application/json", strings.Replace(review, `"u1"`, `"u1","operation":"CONNECT"`, 1), "is none that can be looked at", true},
		"malformed objects": {"application/json", strings.Replace(review, `"u1"`, `"u1","object":{"kind":1},"oldObject":[]`, 1),
			"not handled completely", true},
		"above the bound": {"application/json", strings.Replace(review, `"u1"`, `"u1","name":"`+strings.Repeat("x", 8<<20)+`"`, 1),
			"request entity is too large", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, resp, err := post(t.Context(), PathWorkloads, tt.contentType, strings.NewReader(tt.body))
			if err != nil || code != http.StatusOK || resp == nil {
				t.Fatalf("status %d, answer %+v, %v; want a review", code, resp, err)
			}
			said := strings.Join(resp.Warnings, " ")
			if resp.Result != nil {
				said += resp.Result.Message
			}
			if resp.Allowed != tt.allowed || !strings.Contains(said, tt.says) {
				t.Errorf("allowed %t, said %q; want %t and %q", resp.Allowed, said, tt.allowed, tt.says)
			}
			if !resp.Allowed && resp.UID != "" {
				t.Errorf("request %s is denied", resp.UID)
			}
			works(t)
		})
	}
}

func TestAPanicIsAnsweredAndForgotten(t *testing.T) {
	code, resp, err := post(t.Context(), "/panic", "application/json", strings.NewReader(review))
	if err != nil || code != http.StatusOK || resp == nil || !resp.Allowed || len(resp.Warnings) != 1 {
		t.Errorf("status %d, answer %+v, %v; want it allowed with a warning", code, resp, err)
	}
	works(t)
}

func TestAMetricNeverNamesWhatAStrangerSends(t *testing.T) {
	body := strings.Replace(review, "UPDATE", "MADEUP", 1)
	if _, resp, err := post(t.Context(), PathWorkloads, "application/json", strings.NewReader(body)); err != nil || !resp.Allowed {
		t.Fatalf("answer %+v, %v", resp, err)
	}
	families, err := world.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.String(), "MADEUP") {
			t.Errorf("metric %s holds a label that a stranger made up", f.GetName())
		}
	}
}

// A change of an object about as large as API servers and snapshots take has both its sides looked at.
func TestALargeChangeIsLookedAt(t *testing.T) {
	ns := namespace(t)
	d := deployment(ns, "podinfo", "podinfo:1")
	d.Labels = map[string]string{v1beta1.LabelTracked: v1beta1.TrackedTarget, v1beta1.LabelCanary: "podinfo"}
	d.Annotations = map[string]string{"big": strings.Repeat("x", 240<<10)}
	d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "BIG", Value: strings.Repeat("x", 1000<<10)}}
	c := canary(ns, "podinfo")
	for _, o := range []client.Object{c, d} {
		if err := world.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error { return world.cache.Get(t.Context(), client.ObjectKeyFromObject(c), &v1beta1.Canary{}) })
	// On a machine that is busy with other things the API server may not wait for the answer.
	attempt := 1
	eventually(t, func() error {
		attempt++
		d.Spec.Template.Spec.Containers[0].Image = fmt.Sprintf("podinfo:%d", attempt)
		if err := world.admin.Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if heard := strings.Join(world.warnings.take(), "\n"); !strings.Contains(heard, "canary podinfo") || strings.Contains(heard, "not handled") {
			return fmt.Errorf("warnings %q, want one that says what follows", heard)
		}
		return nil
	})
	var snapshots appsv1.ControllerRevisionList
	if err := world.admin.List(t.Context(), &snapshots, client.InNamespace(ns)); err != nil || len(snapshots.Items) == 0 {
		t.Errorf("%d snapshots, %v; want that of the version before", len(snapshots.Items), err)
	}
}

// A client that sends its body byte by byte is left after bodyTimeout, and keeps nobody else waiting until then.
func TestASlowClientIsLeft(t *testing.T) {
	conn, err := tls.Dial("tcp", world.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", PathWorkloads)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := conn.Write([]byte("x")); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	works(t)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%v; want an answer", err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(said), "timeout") {
		t.Errorf("answer %q, %v; want one that tells of the timeout", said, err)
	}
	works(t)
}

// Many at once are all answered: looked at, or told that there is no room, or that they came too slowly.
func TestManyAtOnceAreAnswered(t *testing.T) {
	object := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","namespace":"test"},"spec":{"template":{"a":"%s"}}}`,
		strings.Repeat("x", 1<<20))
	body := []byte(strings.Replace(review, `"u1"`, `"u1","kind":{"kind":"Deployment"},"object":`+object+`,"oldObject":`+object, 1))
	var wg sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	for range 60 {
		wg.Go(func() {
			outcome := "looked at"
			_, resp, err := post(t.Context(), PathWorkloads, "application/json", bytes.NewReader(body))
			switch {
			case err != nil:
				outcome = err.Error()
			case resp != nil && resp.Result != nil && strings.Contains(resp.Result.Message, errBusy.Error()):
				outcome = "no room"
			case resp != nil && resp.Result != nil && strings.Contains(resp.Result.Message, "timeout"):
				// A busy machine may not bring all of them in time.
				outcome = "too slow"
			case resp == nil || !resp.Allowed:
				outcome = fmt.Sprintf("answer %+v", resp)
			}
			mu.Lock()
			defer mu.Unlock()
			counts[outcome]++
		})
	}
	wg.Wait()
	t.Logf("%v", counts)
	if counts["looked at"] == 0 || counts["looked at"]+counts["no room"]+counts["too slow"] != 60 {
		t.Errorf("outcomes %v; want each looked at or told why not", counts)
	}
	works(t)
}
