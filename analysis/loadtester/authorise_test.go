package loadtester

import (
	"net/http"
	"strings"
	"testing"
)

const tokenFile = `# operators
*: every-namespace-1234

test: only-test-12345678
test: only-test-next-12
`

func (lt *tester) as(path, authorization string, withPassword bool) int {
	lt.t.Helper()
	req, err := http.NewRequestWithContext(lt.t.Context(), http.MethodPost, lt.url+path, strings.NewReader(podinfoGate))
	if err != nil {
		lt.t.Fatal(err)
	}
	if withPassword {
		req.SetBasicAuth("token", authorization)
	} else if authorization != "" {
		req.Header.Set("Authorization", "Bearer "+authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		lt.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Who may read a gate is everybody; who may move one, or have load sent, has a token for the namespace.
func TestTokens(t *testing.T) {
	tokens, err := ParseTokens(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	lt := newTester(t, func(c *Config) { c.Tokens = tokens })
	for _, path := range []string{"/gate/open", "/gate/close", "/rollback/open", "/rollback/close", "/"} {
		if got := lt.as(path, "", false); got != 401 {
			t.Errorf("%s without a token: %d", path, got)
		}
		if got := lt.as(path, "guessed-1234567890", false); got != 403 {
			t.Errorf("%s with another token: %d", path, got)
		}
	}
	for _, token := range []string{"every-namespace-1234", "only-test-12345678", "only-test-next-12"} {
		for _, password := range []bool{false, true} {
			if got := lt.as("/gate/open", token, password); got != 202 {
				t.Errorf("%s, as a password %v: %d", token, password, got)
			}
		}
	}
	lt.expect("/gate/check", podinfoGate, 200, "Approved")
	if err := tokens.allow(&http.Request{Header: http.Header{"Authorization": {"Bearer only-test-12345678"}}}, "prod"); err == nil {
		t.Error("a token of one namespace serves for another")
	}
}

func TestParseTokensRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "there is no line",
		"# nobody":               "there is no line",
		"every-namespace-1234":   "line 1 is not",
		"\ntest: short":          "line 2: the token has fewer than 16",
		": every-namespace-123":  "line 1 is not",
		"*: a token with blanks": "line 1 is not",
	} {
		if _, err := ParseTokens(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTokens(%q) = %v, want %q", text, err, want)
		} else if strings.Contains(err.Error(), "every-namespace") {
			t.Errorf("the error repeats a token: %v", err)
		}
	}
}
