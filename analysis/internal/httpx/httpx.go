// Package httpx holds what every outgoing call of the analysis has in common: transports, the redirect policy, bounded bodies and
// error texts that are fit for a status field. What is particular to one kind of call does not belong here.
package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxRedirects bounds a chain of redirects.
const maxRedirects = 5

// NewTransport returns a transport with bounded waiting. It honours the proxy variables of the environment. skipVerify accepts any
// certificate.
func NewTransport(skipVerify bool) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: skipVerify},
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
}

// NewTransportWith returns a transport like NewTransport that trusts the authorities of ca and no others, and shows the certificate cert with its
// key. All are PEM; empty ones change nothing. Errors name what does not parse and nothing of it.
func NewTransportWith(skipVerify bool, ca, cert, key []byte) (*http.Transport, error) {
	t := NewTransport(skipVerify)
	if len(ca) > 0 {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("ca.crt holds no certificate in PEM")
		}
	}
	if len(cert) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, errors.New("tls.crt and tls.key are no certificate and its key in PEM")
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// ErrRedirect says that a redirect was not followed.
var ErrRedirect = errors.New("redirect not followed")

// SameHost is a redirect policy: it follows a few redirects on the same host, never from https back to http. The addresses are
// chosen by tenants and called from inside the cluster, so an answer must not send the caller, or its credentials, elsewhere.
func SameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d in a row", ErrRedirect, maxRedirects)
	case !strings.EqualFold(req.URL.Host, first.Host) && !upgradesToTLS(first, req.URL):
		return fmt.Errorf("%w: it leads from %s to %s, use the final URL", ErrRedirect, first.Host, req.URL.Host)
	case first.Scheme == "https" && req.URL.Scheme != "https":
		return fmt.Errorf("%w: it leads from https to %s, use the final URL", ErrRedirect, req.URL.Scheme)
	}
	return nil
}

// upgradesToTLS tells whether a redirect goes from the default http to the default https port of one host.
func upgradesToTLS(from, to *url.URL) bool {
	port := func(u *url.URL, def string) bool { return u.Port() == "" || u.Port() == def }
	return strings.EqualFold(from.Hostname(), to.Hostname()) &&
		from.Scheme == "http" && port(from, "80") && to.Scheme == "https" && port(to, "443")
}

// Cause strips the method and URL that net/http puts around its errors: the URL may carry what is not fit for a status.
func Cause(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		if wrapped.Timeout() {
			return fmt.Errorf("timed out: %w", wrapped.Err)
		}
		return wrapped.Err
	}
	return err
}

// Origin writes a URL without user, path and query, such as "http://prometheus:9090".
func Origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// ParseURL returns an absolute http or https URL; field names it in the error, which never repeats the value's user or password.
func ParseURL(field, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not a URL: write it like http://host:port/path: %w", field, errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("%s %q is not an absolute http or https URL: write it like http://host:port/path", field, u.Redacted())
	}
	return u, nil
}

// ErrTooLarge says that a body exceeds its bound.
var ErrTooLarge = errors.New("the answer is too large")

// ReadAll reads a body of at most limit bytes; a longer one is ErrTooLarge.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, limit)
	}
	return body, nil
}

// Head reads at most limit bytes of a body and drops the rest. It is for bodies that only serve to explain.
func Head(r io.Reader, limit int64) []byte {
	body, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil && len(body) == 0 {
		return nil
	}
	return body
}

// OneLine makes text fit for a message: one line of printable characters, at most limit bytes, cut between characters.
func OneLine(text string, limit int) string {
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return Truncate(strings.Join(strings.Fields(clean), " "), limit)
}

// Truncate cuts text to at most limit bytes, between characters, and shows that it did.
func Truncate(text string, limit int) string {
	const mark = "..."
	if len(text) <= limit {
		return text
	}
	cut := max(limit-len(mark), 0)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark[:min(len(mark), limit)]
}
