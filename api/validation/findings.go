package validation

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// findings collects what rules find. Its helpers are rules that several fields share.
type findings struct{ denials, warnings []Issue }

func (f *findings) deny(field string, value any, format string, args ...any) {
	f.denials = append(f.denials, Issue{field, value, fmt.Sprintf(format, args...)})
}

func (f *findings) warn(field string, value any, format string, args ...any) {
	f.warnings = append(f.warnings, Issue{field, value, fmt.Sprintf(format, args...)})
}

// duration denies a value that does not parse or is below the floor. Empty values pass.
func (f *findings) duration(field string, d v1beta1.Duration, floor time.Duration) {
	if d == "" {
		return
	}
	v, err := d.Parse()
	switch {
	case err != nil:
		f.deny(field, string(d), "is not a duration; use for example 30s or 1m")
	case v < floor:
		f.deny(field, string(d), "is too short; use %s or more", floor)
	}
}

// percent denies a number that is below low or above 100.
func (f *findings) percent(field string, v, low int32, hint string) {
	if v < low || v > 100 {
		f.deny(field, v, "is out of range; %s", hint)
	}
}

// url denies what is not an absolute http or https URL. A password in it is not repeated.
func (f *findings) url(field, value string) {
	if value == "" {
		f.deny(field, nil, "is required; use for example http://name.namespace/path")
		return
	}
	u, err := url.Parse(value)
	if err != nil {
		f.deny(field, nil, "is not a URL; use for example http://name.namespace/path")
		return
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		f.deny(field, redacted(u), "is not an http or https URL; use for example http://name.namespace/path")
	} else if u.Hostname() == "" {
		f.deny(field, redacted(u), "has no host; use for example http://name.namespace/path")
	}
}

// secretURL is url for addresses that are secret as a whole, as those of chats are: whoever knows one may post.
func (f *findings) secretURL(field, value string) {
	var found findings
	found.url(field, value)
	for _, i := range found.denials {
		i.Value = nil
		f.denials = append(f.denials, i)
	}
}

// redacted is the URL without password and query, which may carry tokens.
func redacted(u *url.URL) string {
	text, _, _ := strings.Cut(u.Redacted(), "?")
	return text
}

// promql warns of a rendered query that Prometheus would not understand; value names the template that it comes from, if any. It is no denial:
// servers that speak Prometheus' API may know more.
func (f *findings) promql(field string, value any, check func(string) error, text string) {
	if check == nil {
		return
	}
	if err := check(text); err != nil {
		f.warn(field, value, "may fail: %s", err)
	}
}
