package alert

import "net/url"

// Colours of chats that want them in hexadecimal.
const (
	blue  = "#0076D7"
	amber = "#FFA500"
	red   = "#FF0000"
)

// rocket takes Slack's messages with colours in hexadecimal.
func rocket(c Chat, _ *url.URL, m Message) any {
	return slackBody(c, m, palette{info: blue, warn: amber, err: red}, plain)
}
