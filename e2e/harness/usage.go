package harness

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What Sluice's processes say of themselves.
const (
	metricCPU      = "process_cpu_seconds_total"
	metricResident = "process_resident_memory_bytes"
)

// Usage is what Sluice's ready pods have taken of the machine.
type Usage struct {
	// CPU is their processor time together, since they started.
	CPU time.Duration
	// Resident is the memory of the largest of them, in bytes.
	Resident int64
}

// SluiceUsage reads what Sluice's ready pods say of themselves.
func (h *Harness) SluiceUsage(ctx context.Context) (Usage, error) {
	var total Usage
	pods, err := h.SluicePods(ctx)
	if err != nil {
		return total, err
	}
	for _, pod := range pods {
		if !isReady(pod) {
			continue
		}
		text, err := h.podMetrics(ctx, pod.Status.PodIP)
		if err == nil {
			err = total.add(text)
		}
		if err != nil {
			return total, fmt.Errorf("metrics of pod %s: %w", pod.Name, err)
		}
	}
	return total, nil
}

func (u *Usage) add(metrics string) error {
	found := 0
	for line := range strings.Lines(metrics) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != metricCPU && name != metricResident {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("the metric %q: %w", strings.TrimSpace(line), err)
		}
		found++
		if name == metricCPU {
			u.CPU += time.Duration(number * float64(time.Second))
		} else {
			u.Resident = max(u.Resident, int64(number))
		}
	}
	if found != 2 {
		return fmt.Errorf("%d samples of %s and %s, want one of each", found, metricCPU, metricResident)
	}
	return nil
}
