package analysis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-dev/sluice/analysis/check"
	"github.com/sluice-dev/sluice/analysis/hook"
	"github.com/sluice-dev/sluice/analysis/internal/httpx"
	"github.com/sluice-dev/sluice/analysis/provider"
	"github.com/sluice-dev/sluice/analysis/query"
	"github.com/sluice-dev/sluice/analysis/verdict"
	"github.com/sluice-dev/sluice/api/v1beta1"
)

const (
	defaultInterval = time.Minute      // of a metric that names none
	metricDeadline  = 30 * time.Second // reading template and Secret included
	longestPause    = 30 * time.Second // between two attempts at a hook
	hookDeadline    = time.Hour        // whatever timeout and retries ask for
)

// CheckerOptions are the outside of a Checker.
type CheckerOptions struct {
	// Sources finds MetricTemplates and Secrets.
	Sources Sources
	// Transport serves ordinary calls, Insecure those that accept any certificate; nil means ones with bounded waiting.
	Transport, Insecure http.RoundTripper
	// Cluster is the API server, for providers that ask it; nil where there is none.
	Cluster *provider.Cluster
	// Clock dates results and times pauses.
	Clock clock.Clock
	// UserAgent names the caller, such as sluice/1.2.3.
	UserAgent string
	// NoCrossNamespaceRefs refuses MetricTemplates of other namespaces than the Canary's.
	NoCrossNamespaceRefs bool
}

// Checker answers requests one at a time. It is safe for concurrent use.
type Checker struct {
	o       CheckerOptions
	hooks   *hook.Sender
	ambient *provider.Ambient
}

// NewChecker returns a Checker.
func NewChecker(o CheckerOptions) *Checker {
	if o.Transport == nil {
		o.Transport = httpx.NewTransport(false)
	}
	if o.Insecure == nil {
		o.Insecure = httpx.NewTransport(true)
	}
	return &Checker{o: o, ambient: &provider.Ambient{}, hooks: hook.NewSender(hook.Options{
		Transport: o.Transport, Insecure: o.Insecure, Clock: o.Clock, UserAgent: o.UserAgent,
	})}
}

// Check asks one metric or webhook and waits for the answer. Whatever goes wrong is in the result.
func (c *Checker) Check(ctx context.Context, req check.Request) check.Result {
	var result check.Result
	switch {
	case req.Metric != nil && req.Webhook == nil:
		result = c.metric(ctx, req)
		result.Kind, result.Name = v1beta1.CheckMetric, req.Metric.Name
	case req.Webhook != nil && req.Metric == nil:
		result = c.webhook(ctx, req)
		result.Kind, result.Name = v1beta1.CheckWebhook, req.Webhook.Name
	default:
		result = failed(fmt.Errorf("check %q asks neither a metric nor a webhook, or both", req.Key))
	}
	result.Key = req.Key
	result.Message = httpx.OneLine(result.Message, v1beta1.MaxCheckMessage)
	result.Time = c.o.Clock.Now()
	return result
}

func failed(err error) check.Result {
	return check.Result{Verdict: v1beta1.VerdictError, Message: err.Error()}
}

// webhook calls a hook: 200, 201 and 202 pass, any other answer fails, no answer is an error.
func (c *Checker) webhook(ctx context.Context, req check.Request) check.Result {
	spec := req.Webhook
	timeout := hook.DefaultTimeout
	if spec.Timeout != "" {
		parsed, err := spec.Timeout.Parse()
		if err != nil {
			return failed(fmt.Errorf("hook %q: timeout: %w", spec.Name, err))
		}
		if parsed > 0 {
			timeout = parsed
		}
	}
	attempts := time.Duration(max(spec.Retries, 0)) + 1
	deadline := hookDeadline
	if attempts < hookDeadline/(timeout+longestPause) {
		deadline = attempts * (timeout + longestPause)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("no success within %s", deadline))
	defer cancel()

	metadata := maps.Clone(spec.Metadata)
	if len(req.Metadata) > 0 {
		if metadata == nil {
			metadata = map[string]string{}
		}
		maps.Copy(metadata, req.Metadata)
	}
	err := c.hooks.Send(ctx, hook.Call{
		Name:           spec.Name,
		URL:            spec.URL,
		Timeout:        timeout,
		Retries:        int(max(spec.Retries, 0)),
		SkipVerify:     spec.DisableTLS,
		IdempotencyKey: req.IdempotencyKey,
		Payload: hook.Payload{
			Name: req.Canary.Name, Namespace: req.Canary.Namespace,
			Phase: string(req.Phase), Checksum: req.Checksum, Metadata: metadata,
		},
	})
	var refused *hook.Refused
	switch {
	case err == nil:
		return check.Result{Verdict: v1beta1.VerdictPass, Message: fmt.Sprintf("hook %q passed", spec.Name)}
	case errors.As(err, &refused):
		return check.Result{Verdict: v1beta1.VerdictFail, Message: refused.Error()}
	default:
		return failed(err)
	}
}

// metric renders a query, sends it and judges the value.
func (c *Checker) metric(ctx context.Context, req check.Request) check.Result {
	ctx, cancel := context.WithTimeoutCause(ctx, metricDeadline, fmt.Errorf("no value within %s", metricDeadline))
	defer cancel()

	question, err := c.question(ctx, req)
	if err != nil {
		return failed(fmt.Errorf("metric %q: %w", req.Metric.Name, err))
	}
	defer question.done()
	sample, err := question.provider.Query(ctx, question.text)
	if err == nil {
		o := verdict.Evaluate(req.Metric, question.measure, question.value(sample, c.o.Clock.Now()))
		return check.Result{Verdict: o.Verdict, Value: o.Value, Threshold: o.Threshold, Message: o.Message}
	}
	result := failed(fmt.Errorf("metric %q: %w", req.Metric.Name, err))
	result.Threshold = verdict.Limits(req.Metric, question.measure)
	if errors.Is(err, check.ErrNoData) {
		result.Verdict = v1beta1.VerdictNoData
		result.Message = fmt.Sprintf("metric %q: no values found in %s, so probably no request reached the canary: send it traffic, "+
			"or check the query's labels; accepted %s", req.Metric.Name, question.window, result.Threshold)
	}
	return result
}

// question is a query ready to be sent.
type question struct {
	provider Provider
	done     func() // lets go of the provider
	text     string
	window   string
	interval time.Duration
	measure  verdict.Measure
}

// value is what came back, with its age where the provider tells it.
func (q question) value(s provider.Sample, now time.Time) verdict.Value {
	v := verdict.Value{Number: s.Value, Interval: q.interval}
	if !s.Time.IsZero() {
		v.Age = now.Sub(s.Time)
	}
	return v
}

// question finds out what a metric asks. A templateRef comes before an inline query, which comes before the built-in metric of the
// name: the more explicit wins, and nothing is asked twice.
func (c *Checker) question(ctx context.Context, req check.Request) (question, error) {
	vars := query.VarsOf(req.Canary, req.Metric)
	if vars.Interval == "" {
		vars.Interval = query.DefaultInterval
	}
	q := question{window: vars.Interval, interval: req.Metric.Interval.Or(defaultInterval)}
	server := c.source(v1beta1.MetricProvider{Type: v1beta1.MetricPrometheus, Address: req.MetricsServer})
	var err error
	switch metric := req.Metric; {
	case metric.TemplateRef != nil:
		var template *v1beta1.MetricTemplate
		if template, err = c.template(ctx, req); err != nil {
			return q, err
		}
		if q.text, err = query.Render(template.Spec.Query, vars); err != nil {
			return q, fmt.Errorf("MetricTemplate %s/%s: %w", template.Namespace, template.Name, err)
		}
		if server, err = c.connection(ctx, template); err != nil {
			return q, err
		}
		server.Interval = q.interval
	case metric.Query != "":
		q.text, err = query.Render(metric.Query, vars)
	case query.IsBuiltin(metric.Name):
		vars.PodTemplateHash = req.PodTemplateHash
		q.measure = builtinMeasures[metric.Name]
		q.text, err = query.Builtin(req.Provider, metric.Name, vars)
	default:
		err = fmt.Errorf("it is not built in and names neither templateRef nor query: set templateRef, or use %s or %s", query.SuccessRate, query.Duration)
	}
	if err != nil {
		return q, err
	}
	q.provider, q.done, err = newProvider(server)
	return q, err
}

var builtinMeasures = map[string]verdict.Measure{query.SuccessRate: verdict.SuccessRate, query.Duration: verdict.Duration}

// template returns the MetricTemplate of a metric.
func (c *Checker) template(ctx context.Context, req check.Request) (*v1beta1.MetricTemplate, error) {
	ref := req.Metric.TemplateRef
	name := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	if name.Namespace == "" {
		name.Namespace = req.Canary.Namespace
	}
	if c.o.NoCrossNamespaceRefs && name.Namespace != req.Canary.Namespace {
		return nil, fmt.Errorf("templateRef names namespace %q, but references across namespaces are switched off: use a MetricTemplate in %q",
			name.Namespace, req.Canary.Namespace)
	}
	if req.Template != nil {
		return req.Template, nil
	}
	return c.o.Sources.MetricTemplate(ctx, name)
}

// source is how to reach a provider, as far as it is no matter of the template.
func (c *Checker) source(spec v1beta1.MetricProvider) provider.Source {
	s := provider.Source{
		Spec: spec, OnlyNamespace: c.o.NoCrossNamespaceRefs, Transport: c.o.Transport, Cluster: c.o.Cluster, Ambient: c.ambient,
		Now: c.o.Clock.Now(), UserAgent: c.o.UserAgent,
	}
	if spec.InsecureSkipVerify {
		s.Transport = c.o.Insecure
	}
	return s
}

// connection returns how to reach the provider of a template. Its Secret is in the template's namespace.
func (c *Checker) connection(ctx context.Context, template *v1beta1.MetricTemplate) (provider.Source, error) {
	s := c.source(template.Spec.Provider)
	s.Namespace = template.Namespace
	if ref := s.Spec.SecretRef; ref != nil {
		secret, err := c.o.Sources.SecretData(ctx, types.NamespacedName{Namespace: template.Namespace, Name: ref.Name})
		if err != nil {
			return s, fmt.Errorf("MetricTemplate %s/%s: %w", template.Namespace, template.Name, err)
		}
		s.Secret = secret
	}
	return s, nil
}
