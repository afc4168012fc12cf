package scaler

import "strings"

// suffix is what the names of a primary's objects carry.
const suffix = "-primary"

// Rename has a query ask about the primary where it asks about the target: its name, or that of the canary, becomes that of the primary. Only whole
// names count: "web" is neither in "web-primary" nor in "web_requests_total" or "my-web", but it is in "web-.*" and in "web.shop.svc".
func Rename(query, target string) string {
	if target == "" {
		return query
	}
	var out strings.Builder
	for i := 0; i < len(query); {
		rest, found := strings.CutPrefix(query[i:], target)
		if !found || (i > 0 && inName(query[i-1])) {
			out.WriteByte(query[i])
			i++
			continue
		}
		if after, canary := strings.CutPrefix(rest, "-canary"); canary && ends(after) {
			rest = after
		} else if !ends(rest) {
			out.WriteByte(query[i])
			i++
			continue
		}
		out.WriteString(target + suffix)
		i = len(query) - len(rest)
	}
	return out.String()
}

// inName tells whether a character goes on with a name that it follows or leads to.
func inName(c byte) bool {
	return c == '-' || c == '_' || ('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z')
}

// ends tells whether a name is over where rest begins. A hyphen before anything but a name, as in a pattern of pods, is no part of it.
func ends(rest string) bool {
	if rest == "" || !inName(rest[0]) {
		return true
	}
	return rest[0] == '-' && (len(rest) == 1 || !inName(rest[1]))
}
