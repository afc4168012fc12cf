package query_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	utilrand "k8s.io/apimachinery/pkg/util/rand"

	"github.com/sluice-dev/sluice/analysis/query"
)

// generateName is what Kubernetes makes of a base name: at most 58 characters of it and five random ones.
func generateName(base string) string {
	return base[:min(len(base), 58)] + utilrand.String(5)
}

// podHash is a pod-template-hash as Kubernetes derives it from a 32-bit number.
func podHash(n uint32) string { return utilrand.SafeEncodeString(fmt.Sprint(n)) }

func match(t *testing.T, pattern, pod string) bool {
	t.Helper()
	// Prometheus anchors its matchers.
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		t.Fatalf("pattern %q: %v", pattern, err)
	}
	return re.MatchString(pod)
}

var hashes = []uint32{0, 7, 1234567, 999999999, 4294967295, 3141592653}

func TestPodsOfDeployment(t *testing.T) {
	for length := 1; length <= 54; length++ {
		target := strings.Repeat("p", length)
		pattern, err := query.Pods("Deployment", target, "")
		if err != nil {
			t.Fatalf("length %d: %v", length, err)
		}
		for _, n := range hashes {
			hash := podHash(n)
			if pod := generateName(target + "-" + hash + "-"); !match(t, pattern, pod) {
				t.Errorf("length %d: %s does not match the canary's pod %s", length, pattern, pod)
			}
			if pod := generateName(target + "-primary-" + hash + "-"); match(t, pattern, pod) {
				t.Errorf("length %d: %s matches the primary's pod %s", length, pattern, pod)
			}
		}
	}
}

func TestPodsOfOneRevision(t *testing.T) {
	for _, length := range []int{1, 30, 46, 47, 48, 54} {
		target := strings.Repeat("p", length)
		hash, other := podHash(3141592653), podHash(2718281828)
		pattern, err := query.Pods("Deployment", target, hash)
		if err != nil {
			t.Fatal(err)
		}
		if pod := generateName(target + "-" + hash + "-"); !match(t, pattern, pod) {
			t.Errorf("%s does not match the revision's pod %s", pattern, pod)
		}
		if pod := generateName(target + "-" + other + "-"); match(t, pattern, pod) {
			t.Errorf("%s matches another revision's pod %s", pattern, pod)
		}
	}
}

func TestPodsOfDaemonSet(t *testing.T) {
	for length := 1; length <= 54; length++ {
		target := strings.Repeat("d", length)
		pattern, err := query.Pods("DaemonSet", target, "ignored")
		if err != nil {
			t.Fatal(err)
		}
		if pod := generateName(target + "-"); !match(t, pattern, pod) {
			t.Errorf("%s does not match the canary's pod %s", pattern, pod)
		}
		if pod := generateName(target + "-primary-"); match(t, pattern, pod) {
			t.Errorf("%s matches the primary's pod %s", pattern, pod)
		}
	}
}

func TestPodsQuotesDots(t *testing.T) {
	pattern, err := query.Pods("Deployment", "my.app", "")
	if err != nil {
		t.Fatal(err)
	}
	if !match(t, pattern, "my.app-6d4cf56db6-x7k2p") || match(t, pattern, "my-app-6d4cf56db6-x7k2p") {
		t.Errorf("%s must take the dot literally", pattern)
	}
}

func TestPodsErrors(t *testing.T) {
	tests := map[string]struct{ kind, target, want string }{
		"other kind": {"Service", "podinfo", `target kind "Service"`},
		"too long":   {"Deployment", strings.Repeat("p", 55), "has 55 characters"},
		"no name":    {"Deployment", "", "no name"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := query.Pods(tt.kind, tt.target, "")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want it to mention %q", err, tt.want)
			}
		})
	}
}
