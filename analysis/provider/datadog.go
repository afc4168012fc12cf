package provider

import (
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// datadog asks Datadog's API v1 for the points of a query (https://docs.datadoghq.com/api/latest/metrics/#query-timeseries-points).
func datadog(s Source, c *Client) error {
	u, err := c.at(s.Spec.Address, "https://api.datadoghq.com", "api/v1/query")
	if err != nil {
		return err
	}
	c.exchange.ask = func(query string) (httpx.Call, error) {
		return httpx.Call{
			URL: with(u, url.Values{
				"query": {query},
				"from":  {strconv.FormatInt(s.since().Unix(), 10)},
				"to":    {strconv.FormatInt(s.Now.Unix(), 10)},
			}),
			Header: header("DD-API-KEY", s.text("datadog_api_key"), "DD-APPLICATION-KEY", s.text("datadog_application_key")),
		}, nil
	}
	c.exchange.read = readDatadog
	return nil
}

type datadogSeries struct {
	Expression string     `json:"expression"`
	Scope      string     `json:"scope"`
	Points     [][]number `json:"pointlist"` // milliseconds and value
}

func readDatadog(body []byte) (Sample, *httpx.Call, error) {
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Series []datadogSeries `json:"series"`
	}
	if err := decode("Datadog's", body, &answer); err != nil {
		return Sample{}, nil, err
	}
	if answer.Status != "ok" {
		return Sample{}, nil, errors.New("the answer has status " + strconv.Quote(answer.Status) + ": " + httpx.OneLine(answer.Error, 2*shown))
	}
	sample, err := only(answer.Series,
		func(d datadogSeries) string { return d.Expression + " " + d.Scope },
		func(d datadogSeries) (p points) {
			for _, point := range d.Points {
				if len(point) == 2 && point[1].known {
					p = append(p, Sample{point[1].value, time.UnixMilli(int64(point[0].value))})
				}
			}
			return p
		})
	return sample, nil, err
}
