package provider

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// graphite asks Graphite's render API (https://graphite.readthedocs.io/en/stable/render_api.html). The query is what stands behind the question
// mark there: target, from and until.
func graphite(s Source, c *Client) error {
	u, err := c.at(s.Spec.Address, "", "render")
	if err != nil {
		return err
	}
	auth := header()
	if user := s.text("username"); user != "" {
		auth.Set("Authorization", c.basic(user, s.text("password")))
	}
	c.exchange.ask = func(query string) (httpx.Call, error) {
		values, err := url.ParseQuery(strings.Join(strings.Fields(query), ""))
		switch {
		case err != nil:
			return httpx.Call{}, errors.New("the query is no query string, write it like target=...&from=-1min; escape ; and % in it")
		case len(values["target"]) == 0:
			return httpx.Call{}, errors.New("the query names no target, write it like target=...&from=-1min")
		}
		values.Set("format", "json")
		return httpx.Call{URL: with(u, values), Header: auth}, nil
	}
	c.exchange.read = readGraphite
	return nil
}

type graphiteSeries struct {
	Target string     `json:"target"`
	Points [][]number `json:"datapoints"` // value and seconds
}

func readGraphite(body []byte) (Sample, *httpx.Call, error) {
	var answer []graphiteSeries
	if err := decode("Graphite's", body, &answer); err != nil {
		return Sample{}, nil, err
	}
	sample, err := only(answer,
		func(g graphiteSeries) string { return g.Target },
		func(g graphiteSeries) (p points) {
			for _, point := range g.Points {
				if len(point) == 2 && point[0].known {
					p = append(p, Sample{point[0].value, time.Unix(int64(point[1].value), 0)})
				}
			}
			return p
		})
	return sample, nil, err
}
