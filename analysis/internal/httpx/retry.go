package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
)

// WorthRepeating tells whether a status may change by itself: the server is busy or broken, not refusing.
func WorthRepeating(status int) bool {
	return status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented
}

// Transient tells whether an error of the transport may pass. Certificates that are not accepted and redirects that are not
// followed stay as they are.
func Transient(err error) bool {
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
	return !errors.Is(err, ErrRedirect)
}
