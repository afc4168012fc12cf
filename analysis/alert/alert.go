// Package alert writes alerts the way chats read them: a message in, the body of an HTTP request out. It is a pure leaf; who is told, and whether it
// arrived, is no matter of it.
package alert

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Defaults of a Chat, as Flagger has them.
const (
	DefaultUsername = "flagger"
	DefaultChannel  = "general"
)

// maxText bounds a message, in bytes: the least that a chat takes is 3000 characters.
const maxText = 2000

// Field is a line of details.
type Field struct{ Name, Value string }

// Message is one alert about one Canary.
type Message struct {
	Namespace, Canary string
	// Phase of the Canary when it happened.
	Phase v1beta1.CanaryPhase
	// Severity is info, warn or error.
	Severity v1beta1.AlertSeverity
	// Reason is a CamelCase word, that of the event.
	Reason string
	// Text is for people.
	Text   string
	Fields []Field
}

// title names the Canary as Flagger's alerts do.
func (m Message) title() string { return m.Canary + "." + m.Namespace }

// Chat is where a message goes.
type Chat struct {
	// Type is one of Types.
	Type string
	// Address is the hook's URL: a credential.
	Address string
	// Channel and Username have defaults; not all chats look at them.
	Channel, Username string
}

// Request is what to POST, as JSON.
type Request struct {
	URL  *url.URL
	Body []byte
}

// renderers write the body for each type. The address may decide about the form, and be changed.
var renderers = map[string]func(Chat, *url.URL, Message) any{
	v1beta1.AlertSlack:   slack,
	v1beta1.AlertDiscord: discord,
	v1beta1.AlertRocket:  rocket,
	v1beta1.AlertMSTeams: teams,
	v1beta1.AlertGChat:   googleChat,
	v1beta1.AlertWebhook: webhook,
}

// Types lists the known chats.
func Types() []string { return v1beta1.AlertTypes() }

// Render writes a message for a chat. Errors never repeat the address.
func Render(c Chat, m Message) (Request, error) {
	render, known := renderers[c.Type]
	if !known {
		return Request{}, fmt.Errorf("type %q is not a known chat; use one of %s", c.Type, strings.Join(Types(), ", "))
	}
	u, err := url.Parse(strings.TrimSpace(c.Address))
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https"}, u.Scheme) {
		return Request{}, errors.New("the address is not an http or https URL; write it like https://host/path")
	}
	c.Channel, c.Username = cmp.Or(c.Channel, DefaultChannel), cmp.Or(c.Username, DefaultUsername)
	m.Text = cut(m.Text)
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(render(c, u, m)); err != nil {
		return Request{}, fmt.Errorf("write the alert: %w", err)
	}
	return Request{URL: u, Body: bytes.TrimSpace(body.Bytes())}, nil
}

// cut shortens a text to what all chats take, between characters.
func cut(text string) string {
	const more = " …"
	if len(text) <= maxText {
		return text
	}
	end := maxText - len(more)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// Wants tells whether an alert of a least severity is to be sent a message; an empty one means info, and an unknown one only errors.
func Wants(least, severity v1beta1.AlertSeverity) bool {
	rank := []v1beta1.AlertSeverity{v1beta1.SeverityInfo, v1beta1.SeverityWarn, v1beta1.SeverityError}
	from := slices.Index(rank, cmp.Or(least, v1beta1.SeverityInfo))
	if from < 0 {
		from = len(rank) - 1
	}
	return slices.Index(rank, severity) >= from
}
