package alert

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

var update = flag.Bool("update", false, "write the golden files")

func message(s v1beta1.AlertSeverity) Message {
	return Message{
		Namespace: "prod", Canary: "web", Phase: v1beta1.PhaseFailed, Severity: s, Reason: "RollingBack",
		Text:   `Rolling back web.prod: latency 512 is not < 500 & "<!channel>" stays text`,
		Fields: []Field{{"Cluster", "east"}, {"Target", "Deployment/web.prod"}},
	}
}

// Each chat gets what its vendor documents.
func TestRender(t *testing.T) {
	address := "https://hooks.example.com/services/hunter2"
	tests := []struct {
		name string
		chat Chat
		url  string
	}{
		{"slack", Chat{Type: v1beta1.AlertSlack, Channel: "ops", Username: "bot"}, address},
		{"rocket", Chat{Type: v1beta1.AlertRocket}, address},
		{"discord", Chat{Type: v1beta1.AlertDiscord}, address + "/slack"},
		{"discord", Chat{Type: v1beta1.AlertDiscord, Address: address + "/slack"}, address + "/slack"},
		{"msteams", Chat{Type: v1beta1.AlertMSTeams}, address},
		{"msteams-workflow", Chat{Type: v1beta1.AlertMSTeams, Address: "https://x.logic.azure.com:443/workflows/a/invoke?sig=hunter2"},
			"https://x.logic.azure.com:443/workflows/a/invoke?sig=hunter2"},
		{"gchat", Chat{Type: v1beta1.AlertGChat, Address: address + "?key=k&token=t"}, address + "?key=k&token=t"},
		{"webhook", Chat{Type: v1beta1.AlertWebhook}, address},
	}
	for _, tt := range tests {
		if tt.chat.Address == "" {
			tt.chat.Address = address
		}
		req, err := Render(tt.chat, message(v1beta1.SeverityError))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if req.URL.String() != tt.url {
			t.Errorf("%s goes to %s, want %s", tt.name, req.URL, tt.url)
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, req.Body, "", "  "); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		golden(t, tt.name+".json", pretty.Bytes())
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is now\n%s", name, got)
	}
}

// Severities differ in colour, in every chat that has colours.
func TestSeveritiesLookDifferent(t *testing.T) {
	for _, kind := range Types() {
		seen := map[string]bool{}
		for _, s := range []v1beta1.AlertSeverity{v1beta1.SeverityInfo, v1beta1.SeverityWarn, v1beta1.SeverityError} {
			req, err := Render(Chat{Type: kind, Address: "http://a"}, message(s))
			if err != nil {
				t.Fatal(err)
			}
			seen[string(req.Body)] = true
		}
		if len(seen) != 3 {
			t.Errorf("%s has %d looks for three severities", kind, len(seen))
		}
	}
}

func TestEveryTypeIsRendered(t *testing.T) {
	if len(renderers) != len(Types()) {
		t.Errorf("%d renderers for the types %v", len(renderers), Types())
	}
}

func TestRenderErrorsShowNoAddress(t *testing.T) {
	for _, c := range []Chat{
		{Type: "irc", Address: "https://hunter2"},
		{Type: v1beta1.AlertSlack, Address: "hooks.example.com/hunter2"},
		{Type: v1beta1.AlertSlack, Address: "https://hunter2:%zz"},
		{Type: v1beta1.AlertSlack, Address: "ftp://hunter2/"},
		{Type: v1beta1.AlertSlack},
	} {
		if _, err := Render(c, message(v1beta1.SeverityInfo)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	m := message(v1beta1.SeverityInfo)
	m.Text = strings.Repeat("é", maxText)
	req, err := Render(Chat{Type: v1beta1.AlertWebhook, Address: "http://a"}, m)
	if err != nil || len(req.Body) > maxText+500 || !utf8.Valid(req.Body) {
		t.Errorf("%d bytes, %v", len(req.Body), err)
	}
}

func TestWants(t *testing.T) {
	all := []v1beta1.AlertSeverity{v1beta1.SeverityInfo, v1beta1.SeverityWarn, v1beta1.SeverityError}
	for least, want := range map[v1beta1.AlertSeverity][]v1beta1.AlertSeverity{
		"": all, "info": all, "warn": all[1:], "error": all[2:], "odd": all[2:],
	} {
		got := slices.DeleteFunc(slices.Clone(all), func(s v1beta1.AlertSeverity) bool { return !Wants(least, s) })
		if !slices.Equal(got, want) {
			t.Errorf("from %q on: %v, want %v", least, got, want)
		}
	}
}

// Chats that answer 200 to what they refuse are not believed.
func TestRefusal(t *testing.T) {
	for _, tt := range []struct {
		kind, body string
		refused    bool
	}{
		{v1beta1.AlertSlack, "ok", false},
		{v1beta1.AlertSlack, `{"ok":true}`, false},
		{v1beta1.AlertSlack, `{"ok":false,"error":"channel_not_found"}`, true},
		{v1beta1.AlertRocket, `{"success":false}`, true},
		{v1beta1.AlertRocket, `{"success":true}`, false},
		{v1beta1.AlertMSTeams, "1", false},
		{v1beta1.AlertMSTeams, "Webhook message delivery failed with error: 429", true},
		{v1beta1.AlertWebhook, `{"ok":false}`, false},
	} {
		if got := Refusal(tt.kind, []byte(tt.body)); (got != "") != tt.refused {
			t.Errorf("%s %s: %q", tt.kind, tt.body, got)
		}
	}
}
