package alert

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// slackMessage is the body of Slack's incoming webhooks and of chat.postMessage; Discord and Rocket.Chat read it, too.
type slackMessage struct {
	Channel     string            `json:"channel"`
	Username    string            `json:"username"`
	IconEmoji   string            `json:"icon_emoji"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color      string       `json:"color"`
	AuthorName string       `json:"author_name"`
	Text       string       `json:"text"`
	MrkdwnIn   []string     `json:"mrkdwn_in"`
	Fields     []slackField `json:"fields"`
}

type slackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// slackControl takes the characters by which Slack tells mentions and links from text.
var slackControl = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slack(c Chat, _ *url.URL, m Message) any {
	return slackBody(c, m, palette{info: "good", warn: "warning", err: "danger"}, slackControl.Replace)
}

// slackBody writes a message in Slack's form; escape changes each text.
func slackBody(c Chat, m Message, p palette, escape func(string) string) slackMessage {
	fields := make([]slackField, 0, len(m.Fields))
	for _, f := range m.Fields {
		fields = append(fields, slackField{Title: escape(f.Name), Value: escape(f.Value)})
	}
	return slackMessage{
		Channel: c.Channel, Username: c.Username, IconEmoji: ":rocket:",
		Attachments: []slackAttachment{{
			Color: p.of(m.Severity), AuthorName: m.title(), Text: escape(m.Text), MrkdwnIn: []string{"text"}, Fields: fields,
		}},
	}
}

// palette is how a chat shows severities.
type palette struct{ info, warn, err string }

func (p palette) of(s v1beta1.AlertSeverity) string {
	switch s {
	case v1beta1.SeverityError:
		return p.err
	case v1beta1.SeverityWarn:
		return p.warn
	}
	return p.info
}

// Refusal returns why a chat did not take a message that it answered with 2xx; "" where it did. Slack's API answers 200 with ok false, Rocket.Chat
// with success false, and Teams' connectors with a sentence.
func Refusal(kind string, body []byte) string {
	var answer struct {
		OK, Success *bool
	}
	switch kind {
	case v1beta1.AlertSlack, v1beta1.AlertRocket:
		if json.Unmarshal(body, &answer) == nil && (isFalse(answer.OK) || isFalse(answer.Success)) {
			return "the chat answers that it did not take the message; check channel, username and token"
		}
	case v1beta1.AlertMSTeams:
		if strings.Contains(string(body), "message delivery failed") {
			return "the connector answers that it could not deliver the message"
		}
	}
	return ""
}

func isFalse(b *bool) bool { return b != nil && !*b }
