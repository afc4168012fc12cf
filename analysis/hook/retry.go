package hook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
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

// worthRepeating tells whether a status may change by itself: the hook is busy or broken, not refusing.
func worthRepeating(status int) bool {
	return status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented
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

// transient tells whether an error of the transport may pass. Certificates that are not accepted and redirects that are not
// followed stay as they are.
func transient(err error) bool {
	var (
		unknown      x509.UnknownAuthorityError
		wrongName    x509.HostnameError
		invalid      x509.CertificateInvalidError
		verification *tls.CertificateVerificationError
	)
	for _, target := range []any{&unknown, &wrongName, &invalid, &verification} {
		if errors.As(err, target) {
			return false
		}
	}
	return !errors.Is(err, httpx.ErrRedirect)
}
