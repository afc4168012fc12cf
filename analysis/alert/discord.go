package alert

import (
	"net/url"
	"strings"
)

// discord takes Slack's messages at the path of the hook with /slack appended.
func discord(c Chat, u *url.URL, m Message) any {
	if !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/slack") {
		*u = *u.JoinPath("slack")
	}
	return slackBody(c, m, palette{info: "good", warn: "warning", err: "danger"}, plain)
}

func plain(text string) string { return text }
