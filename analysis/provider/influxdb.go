package provider

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// influxDB asks InfluxDB's API v2 for the result of Flux, as CSV (https://docs.influxdata.com/influxdb/v2/api-guide/api_intro/#query-v2-api).
func influxDB(s Source, c *Client) error {
	u, err := c.at(s.Spec.Address, "", "api/v2/query")
	if err != nil {
		return err
	}
	c.caller.Timeout = streamTimeout
	values := url.Values{}
	h := header("Content-Type", "application/vnd.flux", "Accept", "application/csv")
	if token := s.text("token"); token != "" {
		values.Set("org", s.text("org"))
		h.Set("Authorization", "Token "+token)
	}
	c.exchange.ask = func(query string) (httpx.Call, error) {
		return httpx.Call{Method: http.MethodPost, URL: with(u, values), Header: h, Body: []byte(query)}, nil
	}
	c.exchange.read = readInfluxDB
	return nil
}

type fluxTable struct {
	name   string
	points points
}

// readInfluxDB reads tables in CSV: blocks with a header of their own, in each the columns result, table and _value. A table of errors stands in the
// place of values that could not be computed.
func readInfluxDB(body []byte) (Sample, *httpx.Call, error) {
	reader := csv.NewReader(bytes.NewReader(body))
	reader.FieldsPerRecord, reader.Comment = -1, '#'
	rows, err := reader.ReadAll()
	if err != nil {
		return Sample{}, nil, fmt.Errorf("the answer is not InfluxDB's CSV; check the address: %w", err)
	}
	if len(body) > 0 && body[len(body)-1] != '\n' {
		return Sample{}, nil, fmt.Errorf("the answer is not InfluxDB's CSV, or was cut: its last line has no end; check address and query: %s", httpx.OneLine(string(body), shown))
	}
	var tables []fluxTable
	var columns []string
	for _, row := range rows {
		if slices.Contains(row, "_value") || slices.Contains(row, "error") {
			columns = row
			continue
		}
		if columns == nil {
			return Sample{}, nil, fmt.Errorf("the answer is not InfluxDB's CSV with a column _value; check address and query: %s", httpx.OneLine(string(body), shown))
		}
		if len(row) != len(columns) {
			return Sample{}, nil, fmt.Errorf("the answer is not InfluxDB's CSV: a row has %d cells and its header %d", len(row), len(columns))
		}
		cell := func(name string) string { return cellOf(columns, row, name) }
		if problem := cell("error"); problem != "" {
			return Sample{}, nil, errors.New("the query failed: " + httpx.OneLine(problem, 2*shown))
		}
		if cell("_value") == "" {
			continue
		}
		if tables, err = withFluxRow(tables, cell); err != nil {
			return Sample{}, nil, err
		}
	}
	if len(tables) == 0 {
		return Sample{}, nil, check.ErrNoData
	}
	sample, err := only(tables, func(t fluxTable) string { return t.name }, func(t fluxTable) points { return t.points })
	return sample, nil, err
}

// withFluxRow adds the value of a row to the last of the tables, or to a new one where the row begins it.
func withFluxRow(tables []fluxTable, cell func(name string) string) ([]fluxTable, error) {
	sample, err := fluxSample(cell("_value"), cell("_time"), cell("_stop"))
	if err != nil {
		return nil, err
	}
	name := cell("result") + " table " + cell("table")
	if n := len(tables); n == 0 || tables[n-1].name != name {
		tables = append(tables, fluxTable{name: name})
	}
	last := &tables[len(tables)-1]
	last.points = append(last.points, sample)
	return tables, nil
}

// cellOf is what a row has in a column; empty if it has none.
func cellOf(columns, row []string, name string) string {
	if i := slices.Index(columns, name); i >= 0 && i < len(row) {
		return row[i]
	}
	return ""
}

func fluxSample(value, at, stop string) (Sample, error) {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return Sample{}, fmt.Errorf("the answer holds %q, which is not a number", httpx.OneLine(value, shown))
	}
	when, _ := time.Parse(time.RFC3339, cmp.Or(at, stop))
	return Sample{v, when}, nil
}
