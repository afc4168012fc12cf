package provider

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// keptnPoll is the pause between two looks at an Analysis; with maxPages looks it has ten seconds.
const keptnPoll = time.Second

// keptn reads a KeptnMetric, or has an Analysis made and reads its outcome (https://keptn.sh/stable/docs/reference/api-reference/metrics/v1beta1/), at
// the API server with the controller's rights. The query is kind/namespace/name, and for an analysis /timeframe and /key=value;key=value may follow.
// A passed analysis is 1, another 0.
func keptn(s Source, c *Client) error {
	if s.Cluster == nil {
		return errors.New("no API server is at hand")
	}
	s.Spec.Address = ""
	u, err := c.cluster(s, header())
	if err != nil {
		return err
	}
	c.exchange.ask = func(query string) (httpx.Call, error) {
		q, err := parseKeptn(query)
		if err == nil {
			err = s.allows(q.namespace)
		}
		if err != nil {
			return httpx.Call{}, err
		}
		base := u.JoinPath("apis/metrics.keptn.sh/v1beta1/namespaces", url.PathEscape(q.namespace))
		if q.metric {
			c.exchange.read = readKeptnMetric
			return httpx.Call{URL: base.JoinPath("keptnmetrics", url.PathEscape(q.name))}, nil
		}
		return c.keptnAnalysis(base.JoinPath("analyses"), q)
	}
	return nil
}

type keptnQuery struct {
	metric                     bool
	namespace, name, timeframe string
	arguments                  map[string]string
}

// parseKeptn reads a query. Case does not count, as names in Kubernetes have none.
func parseKeptn(query string) (q keptnQuery, err error) {
	const form = "write it like keptnmetric/namespace/name, or analysis/namespace/name/1m/key=value"
	parts := strings.SplitN(strings.ToLower(strings.TrimSpace(query)), "/", 5)
	parts = append(parts, "", "", "", "", "")
	q = keptnQuery{namespace: parts[1], name: parts[2], timeframe: cmp.Or(parts[3], "1m"), arguments: map[string]string{}}
	switch parts[0] {
	case "keptnmetric", "keptnmetrics":
		q.metric = true
	case "analysis", "analyses":
	default:
		return q, errors.New("the query is of an unknown kind; " + form)
	}
	if q.namespace == "" || q.name == "" {
		return q, errors.New("the query names no object; " + form)
	}
	if _, err := time.ParseDuration(q.timeframe); err != nil {
		return q, fmt.Errorf("the query's timeframe %q is not a duration; %s", httpx.OneLine(q.timeframe, shown), form)
	}
	for pair := range strings.SplitSeq(parts[4], ";") {
		key, value, ok := strings.Cut(pair, "=")
		if pair != "" && !ok {
			return q, fmt.Errorf("the query's argument %q has no value; %s", httpx.OneLine(pair, shown), form)
		}
		if ok {
			q.arguments[key] = value
		}
	}
	return q, nil
}

func readKeptnMetric(body []byte) (Sample, *httpx.Call, error) {
	var answer struct {
		Kind   string `json:"kind"`
		Status struct {
			Value   string    `json:"value"`
			Error   string    `json:"errMsg"`
			Updated time.Time `json:"lastUpdated"`
		} `json:"status"`
	}
	if err := decode("a KeptnMetric's", body, &answer); err != nil {
		return Sample{}, nil, err
	}
	switch {
	case answer.Kind != "KeptnMetric":
		return Sample{}, nil, fmt.Errorf("the answer is of kind %q, expected KeptnMetric", httpx.OneLine(answer.Kind, shown))
	case answer.Status.Error != "":
		return Sample{}, nil, errors.New("Keptn could not measure: " + httpx.OneLine(answer.Status.Error, 2*shown))
	case answer.Status.Value == "":
		return Sample{}, nil, check.ErrNoData
	}
	value, err := strconv.ParseFloat(answer.Status.Value, 64)
	if err != nil {
		return Sample{}, nil, fmt.Errorf("the metric has the value %q, which is not a number", httpx.OneLine(answer.Status.Value, shown))
	}
	return Sample{value, answer.Status.Updated}, nil, nil
}

// keptnAnalysis makes an Analysis, looks at it until it is complete, and takes it away.
func (c *Client) keptnAnalysis(u *url.URL, q keptnQuery) (httpx.Call, error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "metrics.keptn.sh/v1beta1", "kind": "Analysis",
		"metadata": map[string]any{"generateName": q.name + "-", "namespace": q.namespace},
		"spec": map[string]any{
			"timeframe": map[string]string{"recent": q.timeframe}, "args": q.arguments,
			"analysisDefinition": map[string]string{"name": q.name, "namespace": q.namespace},
		},
	})
	var made *url.URL
	c.exchange.rest = keptnPoll
	c.exchange.tidy = func() *httpx.Call {
		if made == nil {
			return nil
		}
		return &httpx.Call{Method: http.MethodDelete, URL: made}
	}
	c.exchange.read = func(body []byte) (Sample, *httpx.Call, error) {
		var answer struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Status struct {
				State string `json:"state"`
				Pass  bool   `json:"pass"`
			} `json:"status"`
		}
		if err := decode("an Analysis'", body, &answer); err != nil {
			return Sample{}, nil, err
		}
		if answer.Kind != "Analysis" || answer.Metadata.Name == "" {
			return Sample{}, nil, fmt.Errorf("the answer is of kind %q, expected Analysis", httpx.OneLine(answer.Kind, shown))
		}
		made = u.JoinPath(url.PathEscape(answer.Metadata.Name))
		if answer.Status.State != "Completed" {
			return Sample{}, &httpx.Call{URL: made}, nil
		}
		value := 0.0
		if answer.Status.Pass {
			value = 1
		}
		return Sample{Value: value}, nil, nil
	}
	return httpx.Call{Method: http.MethodPost, URL: u, Header: header("Content-Type", "application/json"), Body: body, Once: true}, err
}
