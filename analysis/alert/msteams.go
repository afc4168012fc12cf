package alert

import (
	"net/url"
	"strings"
)

// messageCard is what the connectors of Microsoft Teams take.
type messageCard struct {
	Type       string         `json:"@type"`
	Context    string         `json:"@context"`
	ThemeColor string         `json:"themeColor"`
	Summary    string         `json:"summary"`
	Sections   []teamsSection `json:"sections"`
}

type teamsSection struct {
	Title    string      `json:"activityTitle"`
	Subtitle string      `json:"activitySubtitle"`
	Facts    []teamsFact `json:"facts"`
}

type teamsFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// teams writes a MessageCard, and an adaptive card where the address is that of a workflow, which takes no other.
func teams(_ Chat, u *url.URL, m Message) any {
	if strings.Contains(u.Path, "/workflows/") {
		return adaptiveCard(m)
	}
	facts := make([]teamsFact, 0, len(m.Fields))
	for _, f := range m.Fields {
		facts = append(facts, teamsFact(f))
	}
	return messageCard{
		Type: "MessageCard", Context: "http://schema.org/extensions",
		ThemeColor: strings.TrimPrefix(palette{info: blue, warn: amber, err: red}.of(m.Severity), "#"),
		Summary:    m.title(),
		Sections:   []teamsSection{{Title: m.Text, Subtitle: m.title(), Facts: facts}},
	}
}

type teamsMessage struct {
	Type        string            `json:"type"`
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string       `json:"contentType"`
	Content     teamsContent `json:"content"`
}

type teamsContent struct {
	Schema  string `json:"$schema"`
	Type    string `json:"type"`
	Version string `json:"version"`
	Body    []any  `json:"body"`
}

type teamsText struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Size   string `json:"size,omitempty"`
	Weight string `json:"weight,omitempty"`
	Color  string `json:"color,omitempty"`
	Wrap   bool   `json:"wrap"`
}

type teamsFacts struct {
	Type  string         `json:"type"`
	Facts []adaptiveFact `json:"facts"`
}

type adaptiveFact struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

func adaptiveCard(m Message) any {
	body := []any{
		teamsText{Type: "TextBlock", Text: m.title(), Size: "Medium", Weight: "Bolder", Wrap: true,
			Color: palette{info: "Accent", warn: "Warning", err: "Attention"}.of(m.Severity)},
		teamsText{Type: "TextBlock", Text: m.Text, Wrap: true},
	}
	if len(m.Fields) > 0 {
		facts := make([]adaptiveFact, 0, len(m.Fields))
		for _, f := range m.Fields {
			facts = append(facts, adaptiveFact{Title: f.Name, Value: f.Value})
		}
		body = append(body, teamsFacts{Type: "FactSet", Facts: facts})
	}
	return teamsMessage{Type: "message", Attachments: []teamsAttachment{{
		ContentType: "application/vnd.microsoft.card.adaptive",
		Content:     teamsContent{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4", Body: body},
	}}}
}
