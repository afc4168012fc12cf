package httpx_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

func TestSameHost(t *testing.T) {
	tests := []struct {
		from, to string
		ok       bool
	}{
		{"http://a/x", "http://a/y", true},
		{"http://a:80/x", "http://A:80/y", true},
		{"http://a/x", "https://a/x", true},
		{"http://a:80/x", "https://a:443/x", true},
		{"https://a/x", "http://a/x", false},
		{"http://a:8080/x", "https://a/x", false},
		{"http://a/x", "http://b/x", false},
		{"http://a:1/x", "http://a:2/x", false},
		{"http://a/x", "http://a.b/x", false},
	}
	for _, tt := range tests {
		from, err := http.NewRequest(http.MethodGet, tt.from, nil)
		if err != nil {
			t.Fatal(err)
		}
		to, err := http.NewRequest(http.MethodGet, tt.to, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = httpx.SameHost(to, []*http.Request{from})
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, httpx.ErrRedirect) {
			t.Errorf("from %s to %s: %v", tt.from, tt.to, err)
		}
	}
}

func TestOneLine(t *testing.T) {
	tests := []struct {
		text  string
		limit int
		want  string
	}{
		{" a\n\tb\x00c ", 20, "a b c"},
		{"bad\xffbyte", 20, "bad byte"},
		{"exactly", 7, "exactly"},
		{"one more", 7, "one ..."},
		{"éééé", 7, "éé..."},
		{"éééé", 6, "é..."},
		{"abc", 2, ".."},
		{"", 5, ""},
	}
	for _, tt := range tests {
		if got := httpx.OneLine(tt.text, tt.limit); got != tt.want || len(got) > tt.limit {
			t.Errorf("OneLine(%q, %d) = %q, want %q", tt.text, tt.limit, got, tt.want)
		}
	}
}

func TestReadAll(t *testing.T) {
	if body, err := httpx.ReadAll(strings.NewReader("12345"), 5); err != nil || string(body) != "12345" {
		t.Errorf("at the limit: %q, %v", body, err)
	}
	if _, err := httpx.ReadAll(strings.NewReader("123456"), 5); !errors.Is(err, httpx.ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
	if got := string(httpx.Head(strings.NewReader("123456"), 5)); got != "12345" {
		t.Errorf("Head = %q", got)
	}
}
