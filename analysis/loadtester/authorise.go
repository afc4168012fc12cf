package loadtester

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// everyNamespace stands for all namespaces in a file of tokens.
const everyNamespace = "*"

// minToken is the shortest token that is taken, in bytes: a shorter one can be guessed.
const minToken = 16

// Tokens says who may start tasks and set gates for which namespace. Nil allows everybody everything.
type Tokens map[string][][sha256.Size]byte

// ParseTokens reads lines of "namespace: token", with * for all namespaces. A namespace may have several tokens, so that they can be changed
// one after the other. Empty lines and those that begin with # are left out. Errors never repeat a token.
func ParseTokens(text string) (Tokens, error) {
	tokens := Tokens{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		namespace, token, found := strings.Cut(line, ":")
		namespace, token = strings.TrimSpace(namespace), strings.TrimSpace(token)
		if !found || namespace == "" || strings.ContainsAny(token, " \t") {
			return nil, fmt.Errorf("line %d is not 'namespace: token', with * for all namespaces", i+1)
		}
		if len(token) < minToken {
			return nil, fmt.Errorf("line %d: the token has fewer than %d characters", i+1, minToken)
		}
		tokens[namespace] = append(tokens[namespace], sha256.Sum256([]byte(token)))
	}
	if len(tokens) == 0 {
		return nil, errors.New("there is no line 'namespace: token'")
	}
	return tokens, nil
}

// allow tells whether a request may change something for a namespace.
func (t Tokens) allow(r *http.Request, namespace string) error {
	if t == nil {
		return nil
	}
	given := givenToken(r)
	if given == "" {
		return refuse(http.StatusUnauthorized, "a token is needed: send the header Authorization: Bearer TOKEN, or write the URL as http://token:TOKEN@host/")
	}
	sum := sha256.Sum256([]byte(given))
	for _, known := range slices.Concat(t[everyNamespace], t[namespace]) {
		if subtle.ConstantTimeCompare(sum[:], known[:]) == 1 {
			return nil
		}
	}
	return refuse(http.StatusForbidden, "the token does not serve for namespace %q", namespace)
}

// givenToken reads a bearer token, or the password that the URL of a hook carries.
func givenToken(r *http.Request) string {
	if _, password, found := r.BasicAuth(); found {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
