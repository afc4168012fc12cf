package provider

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-dev/sluice/analysis/internal/httpx"
)

// externalMetrics asks for a metric of the API external.metrics.k8s.io/v1beta1. Without an address this is the API server, asked with the controller's
// rights; with one it is the address, with the token of the Secret or none at all: the controller's token never goes there.
func externalMetrics(s Source, c *Client) error {
	auth := header("Accept", "application/json")
	u, err := c.cluster(s, auth)
	if err != nil {
		return err
	}
	c.exchange.ask = func(query string) (httpx.Call, error) {
		name, selector, _ := strings.Cut(strings.TrimSpace(query), "?")
		namespace, metric, named := strings.Cut(name, "/")
		if !named {
			namespace, metric = "default", name
			if s.OnlyNamespace {
				namespace = s.Namespace
			}
		}
		values, err := url.ParseQuery(selector)
		if err != nil || metric == "" || namespace == "" || strings.Contains(metric, "/") {
			return httpx.Call{}, errors.New("the query does not name a metric; write it like namespace/metric?labelSelector=app%3Dweb")
		}
		if _, err := labels.Parse(values.Get("labelSelector")); err != nil {
			return httpx.Call{}, fmt.Errorf("the query's labelSelector does not parse: %w", err)
		}
		if err := s.allows(namespace); err != nil {
			return httpx.Call{}, err
		}
		at := u.JoinPath("apis/external.metrics.k8s.io/v1beta1/namespaces", url.PathEscape(namespace), url.PathEscape(metric))
		return httpx.Call{URL: with(at, url.Values{"labelSelector": {values.Get("labelSelector")}}), Header: auth}, nil
	}
	c.exchange.read = readExternalMetrics
	return nil
}

// cluster has the client speak with the API server, or with an API that an address names in its place.
func (c *Client) cluster(s Source, auth http.Header) (*url.URL, error) {
	if s.Spec.Address != "" {
		if token := s.text("token"); token != "" {
			auth.Set("Authorization", "Bearer "+token)
			c.caller.Secrets = append(c.caller.Secrets, token)
		}
		return c.at(s.Spec.Address, "")
	}
	if s.Cluster == nil {
		return nil, errors.New("no API server is at hand; set provider.address")
	}
	if s.text("token") != "" {
		return nil, errors.New("the Secret holds a token, but provider.address is not set; set both or neither")
	}
	c.caller.HTTP = &http.Client{Transport: s.Cluster.Transport, CheckRedirect: httpx.SameHost}
	return c.at(s.Cluster.URL.String(), "")
}

// allows tells whether a template may ask about a namespace.
func (s Source) allows(namespace string) error {
	if s.OnlyNamespace && namespace != s.Namespace {
		return fmt.Errorf("the query names namespace %q, but references across namespaces are switched off: use %q", namespace, s.Namespace)
	}
	return nil
}

type externalMetric struct {
	Name   string            `json:"metricName"`
	Labels map[string]string `json:"metricLabels"`
	Time   time.Time         `json:"timestamp"`
	Value  resource.Quantity `json:"value"`
}

func readExternalMetrics(body []byte) (Sample, *httpx.Call, error) {
	var answer struct {
		Kind  string           `json:"kind"`
		Items []externalMetric `json:"items"`
	}
	if err := decode("the API's", body, &answer); err != nil {
		return Sample{}, nil, err
	}
	if answer.Kind != "ExternalMetricValueList" {
		return Sample{}, nil, fmt.Errorf("the answer is of kind %q, expected ExternalMetricValueList; check the address", httpx.OneLine(answer.Kind, shown))
	}
	sample, err := only(answer.Items,
		func(m externalMetric) string { return m.Name + labels.Set(m.Labels).String() },
		func(m externalMetric) points { return points{{m.Value.AsApproximateFloat64(), m.Time}} })
	return sample, nil, err
}
