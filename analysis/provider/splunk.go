package provider

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// splunk has Splunk Observability Cloud compute a SignalFlow program and reads the stream of server-sent events that it answers with
// (https://dev.splunk.com/observability/reference/api/signalflow/latest). It is the same computation as over a websocket.
func splunk(s Source, c *Client) error {
	u, err := c.at(s.Spec.Address, "", "v2/signalflow/execute")
	if err != nil {
		return err
	}
	if realm, ok := strings.CutPrefix(u.Host, "api."); ok {
		u.Host = "stream." + realm // where programs run
	}
	c.origin = httpx.Origin(u)
	c.caller.Timeout = streamTimeout
	c.exchange.ask = func(query string) (httpx.Call, error) {
		return httpx.Call{
			Method: http.MethodPost,
			URL: with(u, url.Values{
				"start":     {strconv.FormatInt(s.since().UnixMilli(), 10)},
				"stop":      {strconv.FormatInt(s.Now.UnixMilli(), 10)},
				"immediate": {"true"},
			}),
			Header: header("X-SF-TOKEN", s.text("sf_token_key"), "Content-Type", "text/plain", "Accept", "text/event-stream"),
			Body:   []byte(query),
		}, nil
	}
	c.exchange.read = readSplunk
	return nil
}

type splunkSeries struct {
	id     string
	points points
}

// readSplunk reads a computation up to its end. One that does not end is not judged: what it would have said is not known.
func readSplunk(body []byte) (Sample, *httpx.Call, error) {
	var series []splunkSeries
	for _, e := range events(body) {
		var m struct {
			Event string `json:"event"`
			Abort struct {
				Reason  string `json:"sf_job_abortReason"`
				Message string `json:"sf_job_abortState"`
			} `json:"abortInfo"`
			Message string `json:"message"`
			At      int64  `json:"logicalTimestampMs"`
			Data    []struct {
				ID    string `json:"tsId"`
				Value number `json:"value"`
			} `json:"data"`
		}
		if err := decode("Splunk's", e.data, &m); err != nil {
			if e.name != "data" && e.name != "control-message" && e.name != "error" {
				continue // other events are free in what they tell
			}
			return Sample{}, nil, err
		}
		switch {
		case e.name == "error":
			return Sample{}, nil, errors.New("the program failed: " + httpx.OneLine(m.Message, 2*shown))
		case m.Event == "CHANNEL_ABORT":
			return Sample{}, nil, errors.New("the program was aborted: " + httpx.OneLine(m.Abort.Reason+" "+m.Abort.Message, 2*shown))
		case m.Event == "END_OF_CHANNEL":
			sample, err := only(series, func(s splunkSeries) string { return s.id }, func(s splunkSeries) points { return s.points })
			return sample, nil, err
		}
		for _, d := range m.Data {
			if d.Value.known {
				series = add(series, d.ID, Sample{d.Value.value, time.UnixMilli(m.At)})
			}
		}
	}
	return Sample{}, nil, fmt.Errorf("the answer is not a complete stream of Splunk's events; check the address: %s", httpx.OneLine(string(body), shown))
}

func add(series []splunkSeries, id string, s Sample) []splunkSeries {
	for i := range series {
		if series[i].id == id {
			series[i].points = append(series[i].points, s)
			return series
		}
	}
	return append(series, splunkSeries{id, points{s}})
}

// event is one server-sent event.
type event struct {
	name string
	data []byte
}

// events splits a stream of server-sent events. The data of one event may span lines.
func events(body []byte) (all []event) {
	var e event
	for line := range bytes.Lines(append(body, "\n\n"...)) {
		line = bytes.TrimRight(line, "\r\n")
		if name, ok := bytes.CutPrefix(line, []byte("event:")); ok {
			e.name = string(bytes.TrimSpace(name))
		} else if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			e.data = append(append(e.data, data...), '\n')
		} else if len(line) == 0 {
			if len(e.data) > 0 {
				all = append(all, e)
			}
			e = event{}
		}
	}
	return all
}
