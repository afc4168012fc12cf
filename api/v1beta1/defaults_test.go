package v1beta1

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestSteps(t *testing.T) {
	tests := []struct {
		name string
		a    CanaryAnalysis
		want []int
	}{
		{"none", CanaryAnalysis{}, nil},
		{"step", CanaryAnalysis{StepWeight: 25}, []int{25, 50, 75, 100}},
		{"step to max", CanaryAnalysis{StepWeight: 10, MaxWeight: 30}, []int{10, 20, 30}},
		{"max is no multiple", CanaryAnalysis{StepWeight: 20, MaxWeight: 50}, []int{20, 40, 50}},
		{"step above max", CanaryAnalysis{StepWeight: 60, MaxWeight: 50}, []int{50}},
		{"step above 100", CanaryAnalysis{StepWeight: 300}, []int{100}},
		{"no multiple of 100", CanaryAnalysis{StepWeight: 40}, []int{40, 80, 100}},
		{"max above 100", CanaryAnalysis{StepWeight: 50, MaxWeight: 500}, []int{50, 100}},
		{"list", CanaryAnalysis{StepWeights: []int32{1, 5, 60}}, []int{1, 5, 60}},
		{"list ignores max", CanaryAnalysis{StepWeights: []int32{10, 90}, MaxWeight: 50}, []int{10, 90}},
		{"list is put right", CanaryAnalysis{StepWeights: []int32{0, 10, 5, 10, 250, 300}}, []int{10, 100}},
		{"step wins over list", CanaryAnalysis{StepWeight: 50, StepWeights: []int32{1, 2}}, []int{50, 100}},
		{"negative", CanaryAnalysis{StepWeight: -5, MaxWeight: -5}, nil},
		{"iterations have no weights", CanaryAnalysis{Iterations: 5}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.a.Steps(); !slices.Equal(got, tt.want) {
				t.Errorf("Steps() = %v; want %v", got, tt.want)
			}
		})
	}
}

func TestCheckInterval(t *testing.T) {
	tests := map[Duration]time.Duration{
		"":      time.Minute,
		"1x":    time.Minute,
		"-5s":   time.Minute,
		"0s":    time.Minute,
		"500ms": time.Second,
		"1s":    time.Second,
		"9s":    9 * time.Second,
		"1m30s": 90 * time.Second,
		"2h":    2 * time.Hour,
	}
	for d, want := range tests {
		a := CanaryAnalysis{Interval: d}
		if got := a.CheckInterval(); got != want {
			t.Errorf("%q: CheckInterval() = %v; want %v", d, got, want)
		}
	}
}

func TestStrategy(t *testing.T) {
	match := []AnalysisMatch{{}}
	tests := []struct {
		name       string
		a          CanaryAnalysis
		splits     bool
		want       Strategy
		iterations int
	}{
		{"weights", CanaryAnalysis{StepWeight: 5}, true, StrategyCanary, 0},
		{"weights and match", CanaryAnalysis{StepWeight: 5, Match: match}, true, StrategyCanary, 0},
		{"iterations", CanaryAnalysis{Iterations: 7}, true, StrategyBlueGreen, 7},
		{"iterations and match", CanaryAnalysis{Iterations: 7, Match: match}, true, StrategyABTesting, 7},
		{"weights without splitting", CanaryAnalysis{StepWeight: 5}, false, StrategyBlueGreen, 10},
		{"iterations without splitting", CanaryAnalysis{Iterations: 3, Match: match}, false, StrategyBlueGreen, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.a.Strategy(tt.splits); got != tt.want {
				t.Errorf("Strategy(%v) = %s; want %s", tt.splits, got, tt.want)
			}
			if got := tt.a.IterationCount(tt.splits); got != tt.iterations {
				t.Errorf("IterationCount(%v) = %d; want %d", tt.splits, got, tt.iterations)
			}
		})
	}
}

func TestNames(t *testing.T) {
	c := Canary{Spec: CanarySpec{TargetRef: LocalObjectReference{Name: "shop"}}}
	if got := c.PrimaryName(); got != "shop-primary" {
		t.Errorf("PrimaryName() = %s", got)
	}
	if a, p, k := c.ServiceNames(); a != "shop" || p != "shop-primary" || k != "shop-canary" {
		t.Errorf("ServiceNames() = %s, %s, %s", a, p, k)
	}
	c.Spec.Service.Name = "front"
	if a, p, k := c.ServiceNames(); a != "front" || p != "front-primary" || k != "front-canary" {
		t.Errorf("ServiceNames() with service.name = %s, %s, %s", a, p, k)
	}
	if got := c.PrimaryName(); got != "shop-primary" {
		t.Errorf("PrimaryName() with service.name = %s", got)
	}
}

func TestNumbersAndTimes(t *testing.T) {
	var empty Canary
	given := Canary{Spec: CanarySpec{
		ProgressDeadlineSeconds: new(int32(30)),
		Primary:                 &PrimarySpec{Lifecycle: LifecycleEphemeral, Retain: "1h"},
		Service:                 CanaryService{Port: 80, PortName: "web", TargetPort: intstr.FromString("http")},
		Analysis: CanaryAnalysis{
			Threshold: 4, PrimaryReadyThreshold: new(int32(50)), CanaryReadyThreshold: new(int32(0)),
		},
	}}
	empty.Spec.Service.Port = 80
	type numbers struct {
		deadline, retain            time.Duration
		lifecycle                   Lifecycle
		threshold, primary, readyCa int
		portName, containerPort     string
	}
	of := func(c *Canary) numbers {
		port := c.Spec.Service.ContainerPort()
		return numbers{
			c.ProgressDeadline(), c.Retain(), c.Lifecycle(), c.Spec.Analysis.FailureThreshold(),
			c.Spec.Analysis.PrimaryReadyPercent(), c.Spec.Analysis.CanaryReadyPercent(),
			c.Spec.Service.MainPortName(), port.String(),
		}
	}
	want := numbers{10 * time.Minute, 10 * time.Minute, LifecyclePersistent, 1, 100, 100, "http", "80"}
	if got := of(&empty); got != want {
		t.Errorf("defaults: %+v; want %+v", got, want)
	}
	want = numbers{30 * time.Second, time.Hour, LifecycleEphemeral, 4, 50, 100, "web", "http"}
	if got := of(&given); got != want {
		t.Errorf("given: %+v; want %+v", got, want)
	}
}

func TestHooksAndMetrics(t *testing.T) {
	a := CanaryAnalysis{Webhooks: []CanaryWebhook{
		{Name: "a"}, {Name: "b", Type: HookPreRollout, Timeout: "3s"}, {Name: "c", Type: HookRollout, Timeout: "soon"},
	}}
	var names []string
	for _, h := range a.Hooks(HookRollout) {
		names = append(names, h.Name)
	}
	if !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("rollout hooks: %v; want [a c]", names)
	}
	for i, want := range []time.Duration{10 * time.Second, 3 * time.Second, 10 * time.Second} {
		if got := a.Webhooks[i].CallTimeout(); got != want {
			t.Errorf("hook %d: CallTimeout() = %v; want %v", i, got, want)
		}
	}
	for _, tt := range []struct {
		m       CanaryMetric
		window  time.Duration
		builtin bool
	}{
		{CanaryMetric{Name: MetricRequestDuration, Interval: "30s"}, 30 * time.Second, true},
		{CanaryMetric{Name: MetricRequestSuccessRate}, time.Minute, true},
		{CanaryMetric{Name: MetricRequestSuccessRate, Query: "1"}, time.Minute, false},
		{CanaryMetric{Name: "errors"}, time.Minute, false},
		{CanaryMetric{Name: MetricRequestDuration, TemplateRef: &CrossNamespaceReference{Name: "t"}}, time.Minute, false},
	} {
		if got := tt.m.Window(); got != tt.window {
			t.Errorf("%+v: Window() = %v; want %v", tt.m, got, tt.window)
		}
		if got := tt.m.Builtin(); got != tt.builtin {
			t.Errorf("%+v: Builtin() = %v; want %v", tt.m, got, tt.builtin)
		}
	}
}
