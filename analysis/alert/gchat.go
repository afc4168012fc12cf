package alert

import (
	"html"
	"net/url"
)

// chatMessage is what the webhooks of Google Chat take; its texts are a kind of HTML.
type chatMessage struct {
	Cards []chatCard `json:"cardsV2"`
}

type chatCard struct {
	ID   string       `json:"cardId"`
	Card chatCardBody `json:"card"`
}

type chatCardBody struct {
	Header   chatHeader    `json:"header"`
	Sections []chatSection `json:"sections"`
}

type chatHeader struct {
	Title    string `json:"title"`
	Subtitle string `json:"subtitle"`
}

type chatSection struct {
	Widgets []any `json:"widgets"`
}

type chatText struct {
	Paragraph struct {
		Text string `json:"text"`
	} `json:"textParagraph"`
}

type chatField struct {
	Decorated struct {
		Label string `json:"topLabel"`
		Text  string `json:"text"`
		Wrap  bool   `json:"wrapText"`
	} `json:"decoratedText"`
}

func googleChat(_ Chat, _ *url.URL, m Message) any {
	text := chatText{}
	text.Paragraph.Text = html.EscapeString(m.Text)
	widgets := []any{text}
	for _, f := range m.Fields {
		field := chatField{}
		field.Decorated.Label, field.Decorated.Text, field.Decorated.Wrap = f.Name, html.EscapeString(f.Value), true
		widgets = append(widgets, field)
	}
	return chatMessage{Cards: []chatCard{{ID: "alert", Card: chatCardBody{
		Header: chatHeader{Title: "Sluice: " + string(m.Severity), Subtitle: m.title()}, Sections: []chatSection{{Widgets: widgets}},
	}}}}
}
