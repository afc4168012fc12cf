package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// region is part of the host that is asked, so nothing else may stand in it: the request carries the controller's session.
var region = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}$`)

const maxDatapoints = 20

// cloudWatch asks Amazon CloudWatch for the result of metric data queries, a JSON list
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html), with the controller's own identity.
func cloudWatch(s Source, c *Client) error {
	if !region.MatchString(s.Spec.Region) {
		return fmt.Errorf("region %q is not one of AWS; use for example eu-west-1", s.Spec.Region)
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(s.Spec.Region, "cn-") {
		domain += ".cn"
	}
	u, err := c.at("", "https://monitoring."+s.Spec.Region+"."+domain+"/", "")
	if err != nil {
		return err
	}
	signer := v4.NewSigner()
	c.caller.Sign = func(ctx context.Context, req *http.Request, body []byte) error {
		credentials, err := s.Ambient.amazon(ctx)
		if err != nil {
			return err
		}
		c.caller.Secrets = append(c.caller.Secrets, credentials.SecretAccessKey, credentials.SessionToken)
		sum := sha256.Sum256(body)
		return signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "monitoring", s.Spec.Region, s.Now)
	}
	var queries []json.RawMessage
	page := func(token string) (httpx.Call, error) {
		body, err := json.Marshal(struct {
			Queries   []json.RawMessage `json:"MetricDataQueries"`
			Start     int64             `json:"StartTime"` // seconds
			End       int64             `json:"EndTime"`
			ScanBy    string
			Max       int    `json:"MaxDatapoints"`
			NextToken string `json:",omitempty"`
		}{queries, s.since().Unix(), s.Now.Unix(), "TimestampDescending", maxDatapoints, token})
		return httpx.Call{Method: http.MethodPost, URL: u, Body: body,
			Header: header("Content-Type", "application/x-amz-json-1.0", "X-Amz-Target", "GraniteServiceVersion20100801.GetMetricData")}, err
	}
	c.exchange.ask = func(query string) (httpx.Call, error) {
		if err := json.Unmarshal([]byte(query), &queries); err != nil || len(queries) == 0 {
			return httpx.Call{}, errors.New("the query is not a JSON list of metric data queries; write it like [{\"Id\": \"m1\", \"MetricStat\": {...}}]")
		}
		return page("")
	}
	c.exchange.read = readCloudWatch(page)
	return nil
}

// readCloudWatch gathers the pages of an answer. A page may hold a part of a result, or none.
func readCloudWatch(page func(string) (httpx.Call, error)) func([]byte) (Sample, *httpx.Call, error) {
	var found []cloudWatchResult
	return func(body []byte) (Sample, *httpx.Call, error) {
		var answer struct {
			Results   *[]cloudWatchResult `json:"MetricDataResults"`
			NextToken string
		}
		if err := decode("CloudWatch's", body, &answer); err != nil {
			return Sample{}, nil, err
		}
		if answer.Results == nil {
			return Sample{}, nil, errors.New("the answer is not CloudWatch's: it has no MetricDataResults")
		}
		for _, r := range *answer.Results {
			if r.Status == "InternalError" || r.Status == "Forbidden" {
				return Sample{}, nil, fmt.Errorf("result %s could not be computed: %s", httpx.OneLine(r.ID, shown), r.Status)
			}
			found = merge(found, r)
		}
		if answer.NextToken != "" {
			next, err := page(answer.NextToken)
			return Sample{}, &next, err
		}
		sample, err := only(found, func(r cloudWatchResult) string { return r.ID + " " + r.Label }, cloudWatchResult.points)
		if len(found) > 1 && err != nil {
			err = fmt.Errorf("%w; set ReturnData to false for all but one", err)
		}
		return sample, nil, err
	}
}

type cloudWatchResult struct {
	ID, Label string
	Status    string    `json:"StatusCode"`
	Times     []float64 `json:"Timestamps"` // seconds
	Values    []number
}

func (r cloudWatchResult) points() (p points) {
	for i, v := range r.Values {
		if v.known && i < len(r.Times) {
			p = append(p, Sample{v.value, time.UnixMilli(int64(r.Times[i] * 1000))})
		}
	}
	return p
}

// merge adds a part of a result to those of the pages before. A search may give several results one Id, so the label counts too.
func merge(all []cloudWatchResult, r cloudWatchResult) []cloudWatchResult {
	for i := range all {
		if all[i].ID == r.ID && all[i].Label == r.Label {
			all[i].Times, all[i].Values = append(all[i].Times, r.Times...), append(all[i].Values, r.Values...)
			return all
		}
	}
	return append(all, r)
}
