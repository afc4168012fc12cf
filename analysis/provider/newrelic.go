package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// since finds a span of time in NRQL.
var since = regexp.MustCompile(`(?i)\bSINCE\b`)

// newRelic asks New Relic's query API for the result of NRQL (https://docs.newrelic.com/docs/apis/insights-apis/query-insights-event-data-api/). A
// query without SINCE covers the metric's interval.
func newRelic(s Source, c *Client) error {
	u, err := c.at(s.Spec.Address, "https://insights-api.newrelic.com", "v1/accounts", s.text("newrelic_account_id"), "query")
	if err != nil {
		return err
	}
	c.exchange.ask = func(query string) (httpx.Call, error) {
		if !since.MatchString(query) {
			query = fmt.Sprintf("%s SINCE %d seconds ago", query, max(int(s.Interval/time.Second), 1))
		}
		return httpx.Call{
			URL:    with(u, url.Values{"nrql": {query}}),
			Header: header("X-Query-Key", s.text("newrelic_query_key"), "Accept", "application/json"),
		}, nil
	}
	c.exchange.read = readNewRelic
	return nil
}

func readNewRelic(body []byte) (Sample, *httpx.Call, error) {
	var answer struct {
		Results    []map[string]json.RawMessage `json:"results"`
		Facets     []json.RawMessage            `json:"facets"`
		TimeSeries []json.RawMessage            `json:"timeSeries"`
	}
	if err := decode("New Relic's", body, &answer); err != nil {
		return Sample{}, nil, err
	}
	switch {
	case len(answer.Facets) > 0, len(answer.TimeSeries) > 0:
		return Sample{}, nil, errors.New("several series answer but one value is needed; remove FACET and TIMESERIES from the query")
	case len(answer.Results) == 0:
		return Sample{}, nil, check.ErrNoData
	case len(answer.Results) > 1:
		return Sample{}, nil, fmt.Errorf("%d results answer but one value is needed; select one in the query", len(answer.Results))
	}
	sample, err := soleNumber(answer.Results[0])
	return sample, nil, err
}

// soleNumber takes the number out of a result: that of the key result, or the only one. Aggregates name it after themselves, and percentiles by rank.
func soleNumber(result map[string]json.RawMessage) (Sample, error) {
	if raw, ok := result["result"]; ok {
		result = map[string]json.RawMessage{"result": raw}
	}
	if len(result) == 0 {
		return Sample{}, check.ErrNoData
	}
	if len(result) > 1 {
		return Sample{}, fmt.Errorf("the result has %d values but one is needed; select one in the query", len(result))
	}
	for _, raw := range result {
		var inner map[string]json.RawMessage
		if json.Unmarshal(raw, &inner) == nil && inner != nil {
			return soleNumber(inner)
		}
		var n number
		if err := json.Unmarshal(raw, &n); err != nil {
			return Sample{}, fmt.Errorf("the result is no number: %w", err)
		}
		if n.known {
			return Sample{Value: n.value}, nil
		}
	}
	return Sample{}, check.ErrNoData
}
