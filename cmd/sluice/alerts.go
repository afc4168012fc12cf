package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/alert"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

// alertOptions are the chat of Canaries without alerts of their own. The flags and variables are Flagger's.
type alertOptions struct {
	slackURL, slackToken, slackUser, slackChannel, slackProxy string
	teamsURL, teamsProxy                                      string
	cluster                                                   string
}

func (o *alertOptions) bind(fs *flag.FlagSet) {
	fs.StringVar(&o.slackURL, "slack-url", "", "Slack hook that is told of Canaries without alerts of their own; by default $SLACK_URL")
	fs.StringVar(&o.slackToken, "slack-token", "", "token of a Slack bot, for -slack-url; by default $SLACK_TOKEN")
	fs.StringVar(&o.slackUser, "slack-user", alert.DefaultUsername, "name to post to Slack as")
	fs.StringVar(&o.slackChannel, "slack-channel", "", "channel to post to; required with -slack-url")
	fs.StringVar(&o.slackProxy, "slack-proxy-url", "", "proxy on the way to Slack")
	fs.StringVar(&o.teamsURL, "msteams-url", "", "Microsoft Teams hook that is told of Canaries without alerts of their own; by default $MSTEAMS_URL. It comes before Slack")
	fs.StringVar(&o.teamsProxy, "msteams-proxy-url", "", "proxy on the way to Microsoft Teams")
	fs.StringVar(&o.cluster, "cluster-name", "", "name of the cluster, for alerts")
}

// validate judges what was given. Values may be credentials and are not repeated.
func (o *alertOptions) validate() error {
	var errs []error
	slack, teams := cmp.Or(o.slackURL, os.Getenv("SLACK_URL")), cmp.Or(o.teamsURL, os.Getenv("MSTEAMS_URL"))
	for _, u := range []struct{ flag, value string }{
		{"slack-url", slack}, {"msteams-url", teams}, {"slack-proxy-url", o.slackProxy}, {"msteams-proxy-url", o.teamsProxy},
	} {
		if u.value != "" && !isURL(u.value) {
			errs = append(errs, fmt.Errorf("-%s is not a URL: write it like https://host/path, or leave it empty", u.flag))
		}
	}
	if slack != "" && teams == "" && o.slackChannel == "" {
		errs = append(errs, errors.New("-slack-url without -slack-channel: name the channel to post to"))
	}
	return errors.Join(errs...)
}

// global returns the chat, nil without one. A variable of the environment counts where its flag is empty, so that no default in a help text shows it.
func (o *alertOptions) global() *analysis.GlobalAlerts {
	if u := cmp.Or(o.teamsURL, os.Getenv("MSTEAMS_URL")); u != "" {
		return &analysis.GlobalAlerts{Chat: alert.Chat{Type: v1beta1.AlertMSTeams, Address: u}, Proxy: o.teamsProxy}
	}
	if u := cmp.Or(o.slackURL, os.Getenv("SLACK_URL")); u != "" {
		return &analysis.GlobalAlerts{
			Chat:  alert.Chat{Type: v1beta1.AlertSlack, Address: u, Channel: o.slackChannel, Username: o.slackUser},
			Token: cmp.Or(o.slackToken, os.Getenv("SLACK_TOKEN")), Proxy: o.slackProxy,
		}
	}
	return nil
}
