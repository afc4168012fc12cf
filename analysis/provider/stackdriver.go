package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

const monitoringScope = "https://www.googleapis.com/auth/monitoring.read"

// stackdriver asks Google Cloud Monitoring for the result of MQL
// (https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/query), with the service account key of the Secret or the controller's
// own identity.
func stackdriver(s Source, c *Client) error {
	u, err := c.at("", "https://monitoring.googleapis.com", "v3/projects", url.PathEscape(s.text("project")), "timeSeries:query")
	if err != nil {
		return err
	}
	if err := c.signForGoogle(s); err != nil {
		return err
	}
	query, seen := "", []stackdriverSeries(nil)
	page := func(token string) (httpx.Call, error) {
		body, err := json.Marshal(map[string]string{"query": query, "pageToken": token})
		return httpx.Call{Method: http.MethodPost, URL: u, Header: header("Content-Type", "application/json"), Body: body}, err
	}
	c.exchange.ask = func(q string) (httpx.Call, error) {
		query = q
		return page("")
	}
	c.exchange.read = func(body []byte) (Sample, *httpx.Call, error) {
		var answer struct {
			Series []stackdriverSeries `json:"timeSeriesData"`
			Next   string              `json:"nextPageToken"`
		}
		if err := decode("Google's", body, &answer); err != nil {
			return Sample{}, nil, err
		}
		seen = append(seen, answer.Series...)
		if answer.Next != "" {
			next, err := page(answer.Next)
			return Sample{}, &next, err
		}
		for _, series := range seen {
			if err := series.scalar(); err != nil {
				return Sample{}, nil, err
			}
		}
		sample, err := only(seen, stackdriverSeries.String, stackdriverSeries.samples)
		return sample, nil, err
	}
	return nil
}

// signForGoogle has each request carry an access token. Only keys of service accounts are taken from a Secret, and only Google's own address for
// tokens: other kinds of credentials name files and addresses that the controller would have to read.
func (c *Client) signForGoogle(s Source) error {
	token := func(ctx context.Context) (*oauth2.Token, error) { return s.Ambient.googleToken(ctx, monitoringScope) }
	if key := s.Secret["serviceAccountKey"]; len(key) > 0 {
		conf, err := google.JWTConfigFromJSON(key, monitoringScope)
		if err != nil {
			return errors.New("serviceAccountKey in the Secret is not the JSON key of a service account")
		}
		at, err := url.Parse(conf.TokenURL)
		if err != nil || at.Scheme != "https" || !slices.Contains([]string{"oauth2.googleapis.com", "accounts.google.com"}, at.Host) {
			return errors.New("serviceAccountKey in the Secret names a token_uri that is not Google's; use https://oauth2.googleapis.com/token")
		}
		token = func(ctx context.Context) (*oauth2.Token, error) {
			return conf.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, c.caller.HTTP)).Token()
		}
	}
	c.caller.Sign = func(ctx context.Context, req *http.Request, _ []byte) error {
		t, err := token(ctx)
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
			return fmt.Errorf("no token from Google: HTTP %s: %s %s", refused.Response.Status, refused.ErrorCode, refused.ErrorDescription)
		}
		if err != nil {
			return err
		}
		c.caller.Secrets = append(c.caller.Secrets, t.AccessToken)
		t.SetAuthHeader(req)
		return nil
	}
	return nil
}

type stackdriverSeries struct {
	Labels []json.RawMessage `json:"labelValues"`
	Points []struct {
		Values   []map[string]json.RawMessage `json:"values"`
		Interval struct {
			End time.Time `json:"endTime"`
		} `json:"timeInterval"`
	} `json:"pointData"`
}

func (d stackdriverSeries) String() string {
	var labels []string
	for _, l := range d.Labels {
		labels = append(labels, string(l))
	}
	return "[" + strings.Join(labels, " ") + "]"
}

// scalar tells whether all values are single numbers.
func (d stackdriverSeries) scalar() error {
	for _, p := range d.Points {
		if len(p.Values) > 1 {
			return fmt.Errorf("each point has %d values but one is needed; select one in the query", len(p.Values))
		}
		for _, v := range p.Values {
			if _, ok := typed(v); !ok && len(v) > 0 {
				return errors.New("the values are no numbers; aggregate distributions in the query, for example with percentile()")
			}
		}
	}
	return nil
}

func (d stackdriverSeries) samples() (out points) {
	for _, p := range d.Points {
		for _, v := range p.Values {
			if n, ok := typed(v); ok && n.known {
				out = append(out, Sample{n.value, p.Interval.End})
			}
		}
	}
	return out
}

// typed reads a TypedValue that is a number or a truth value.
func typed(v map[string]json.RawMessage) (n number, ok bool) {
	for _, key := range []string{"doubleValue", "int64Value"} {
		if raw, has := v[key]; has {
			err := n.UnmarshalJSON(raw)
			return n, err == nil
		}
	}
	switch string(v["boolValue"]) {
	case "true":
		return number{1, true}, true
	case "false":
		return number{0, true}, true
	}
	return n, false
}
