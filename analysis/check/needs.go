package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// Needs say what one type of metric provider must be told before it can be asked.
type Needs struct {
	// Address and Region must be set.
	Address, Region bool
	// Secret must be named. Without it a Secret is a matter of choice.
	Secret bool
	// Keys of the Secret: those of one list must be there, with a value. Empty means that any Secret will do.
	Keys [][]string
}

// The keys that any provider may find in its Secret: authorities to trust, and a certificate to show. They are those of Kubernetes' own kind of
// Secret.
const (
	KeyCA   = "ca.crt"
	KeyCert = "tls.crt"
	KeyKey  = "tls.key"
)

// needs by type, in the order in which they are listed to people.
var needs = []struct {
	provider string
	needs    Needs
}{
	{v1beta1.MetricPrometheus, Needs{Address: true, Keys: [][]string{{"token"}, {"username", "password"}, {KeyCA}, {KeyCert, KeyKey}}}},
	{v1beta1.MetricInfluxDB, Needs{Address: true, Keys: [][]string{{"token", "org"}}}},
	{v1beta1.MetricDatadog, Needs{Secret: true, Keys: [][]string{{"datadog_api_key", "datadog_application_key"}}}},
	{v1beta1.MetricExternalMetrics, Needs{}},
	{v1beta1.MetricStackdriver, Needs{Secret: true, Keys: [][]string{{"project"}}}},
	{v1beta1.MetricCloudWatch, Needs{Region: true}},
	{v1beta1.MetricNewRelic, Needs{Secret: true, Keys: [][]string{{"newrelic_account_id", "newrelic_query_key"}}}},
	{v1beta1.MetricGraphite, Needs{Address: true, Keys: [][]string{{"username", "password"}, {KeyCA}, {KeyCert, KeyKey}}}},
	{v1beta1.MetricDynatrace, Needs{Address: true, Secret: true, Keys: [][]string{{"dynatrace_token"}}}},
	{v1beta1.MetricKeptn, Needs{}},
	{v1beta1.MetricSplunk, Needs{Address: true, Secret: true, Keys: [][]string{{"sf_token_key"}}}},
}

// Providers are the types of metric providers that can be asked, in a fixed order.
func Providers() []string {
	var names []string
	for _, n := range needs {
		names = append(names, n.provider)
	}
	return names
}

// NeedsOf returns what a type of provider needs; an unknown type is an error that lists the known ones.
func NeedsOf(provider string) (Needs, error) {
	for _, n := range needs {
		if n.provider == provider {
			return n.needs, nil
		}
	}
	return Needs{}, fmt.Errorf("metric provider type %q is not supported: use %s", provider, strings.Join(Providers(), ", "))
}

// Lacks says what a Secret lacks, given the keys that it has with a value; "" when it will do.
func (n Needs) Lacks(keys []string) string {
	if len(n.Keys) == 0 {
		return ""
	}
	var ways []string
	for _, way := range n.Keys {
		if !slices.ContainsFunc(way, func(key string) bool { return !slices.Contains(keys, key) }) {
			return ""
		}
		ways = append(ways, strings.Join(way, " and "))
	}
	return "has not the keys " + strings.Join(ways, ", or ")
}
