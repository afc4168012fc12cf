package main

import (
	"flag"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Flags that would tell nobody are refused, without a word of what may be secret.
func TestAlertFlags(t *testing.T) {
	for _, tt := range []struct {
		args, env, wrong, kind string
	}{
		{"", "", "", ""},
		{"-slack-url=https://slack.test/hunter2 -slack-channel=ops", "", "", v1beta1.AlertSlack},
		{"-slack-channel=ops", "SLACK_URL=https://slack.test/hunter2", "", v1beta1.AlertSlack},
		{"-slack-url=https://slack.test/hunter2", "", "-slack-channel", ""},
		{"-slack-url=slack.test/hunter2 -slack-channel=ops", "", "-slack-url is not a URL", ""},
		{"-msteams-url=https://teams.test/hunter2 -slack-url=https://slack.test/", "", "", v1beta1.AlertMSTeams},
		{"", "MSTEAMS_URL=https://teams.test/hunter2", "", v1beta1.AlertMSTeams},
		{"-msteams-url=https://teams.test/ -msteams-proxy-url=hunter2", "", "-msteams-proxy-url is not a URL", ""},
	} {
		for _, name := range []string{"SLACK_URL", "SLACK_TOKEN", "MSTEAMS_URL"} {
			t.Setenv(name, "")
		}
		if name, value, ok := strings.Cut(tt.env, "="); ok {
			t.Setenv(name, value)
		}
		o := alertOptions{}
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		o.bind(fs)
		if err := fs.Parse(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		switch err := o.validate(); {
		case tt.wrong == "" && err != nil, tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%q: %v, want %q", tt.args, err, tt.wrong)
			continue
		case err != nil:
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: the error shows the value: %v", tt.args, err)
			}
			continue
		}
		if g := o.global(); (g == nil) != (tt.kind == "") || g != nil && g.Type != tt.kind {
			t.Errorf("%q %q leads to %+v, want %q", tt.args, tt.env, g, tt.kind)
		}
	}
}
