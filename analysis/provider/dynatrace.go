package provider

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// dynatrace asks Dynatrace's metrics API v2 for one value per series (https://docs.dynatrace.com/docs/shortlink/api-metrics-v2-get-data-points).
func dynatrace(s Source, c *Client) error {
	u, err := c.at(s.Spec.Address, "", "api/v2/metrics/query")
	if err != nil {
		return err
	}
	auth := header("Authorization", "Api-Token "+s.text("dynatrace_token"))
	c.exchange.ask = func(query string) (httpx.Call, error) {
		return httpx.Call{
			URL: with(u, url.Values{
				"metricSelector": {query},
				"resolution":     {"Inf"},
				"from":           {strconv.FormatInt(s.since().UnixMilli(), 10)},
				"to":             {strconv.FormatInt(s.Now.UnixMilli(), 10)},
			}),
			Header: auth,
		}, nil
	}
	var found []dynatraceSeries // of the pages so far
	c.exchange.read = func(body []byte) (Sample, *httpx.Call, error) {
		var answer struct {
			Next   string `json:"nextPageKey"`
			Result []struct {
				Metric string            `json:"metricId"`
				Data   []dynatraceSeries `json:"data"`
			} `json:"result"`
		}
		if err := decode("Dynatrace's", body, &answer); err != nil {
			return Sample{}, nil, err
		}
		for _, result := range answer.Result {
			for _, series := range result.Data {
				series.metric = result.Metric
				found = append(found, series)
			}
		}
		if answer.Next != "" {
			// The key stands for all parameters of the first request.
			return Sample{}, &httpx.Call{URL: with(u, url.Values{"nextPageKey": {answer.Next}}), Header: auth}, nil
		}
		sample, err := only(found, dynatraceSeries.String, dynatraceSeries.points)
		return sample, nil, err
	}
	return nil
}

type dynatraceSeries struct {
	metric     string
	Dimensions []string `json:"dimensions"`
	Times      []int64  `json:"timestamps"` // milliseconds
	Values     []number `json:"values"`
}

func (d dynatraceSeries) String() string { return d.metric + " of " + strings.Join(d.Dimensions, " ") }

func (d dynatraceSeries) points() (p points) {
	for i, v := range d.Values {
		if v.known && i < len(d.Times) {
			p = append(p, Sample{v.value, time.UnixMilli(d.Times[i])})
		}
	}
	return p
}
