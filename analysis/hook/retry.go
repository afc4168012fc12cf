package hook

import (
	"net/http"
	"strconv"
	"time"
)

const (
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// backoff returns the pause after attempt number attempt, from 0. A pause that the hook asked for wins.
func backoff(attempt int, asked time.Duration) time.Duration {
	if asked > 0 {
		return min(asked, maxPause)
	}
	if attempt >= 5 {
		return maxPause
	}
	return min(firstPause<<attempt, maxPause)
}

// retryAfter reads the header of that name, which holds seconds or a date, from answers for which it is defined.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	header := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(max(seconds, 0), int(maxPause/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
