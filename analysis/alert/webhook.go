package alert

import (
	"net/url"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// webhookMessage is what a program is told.
type webhookMessage struct {
	Name      string                `json:"name"`
	Namespace string                `json:"namespace"`
	Phase     v1beta1.CanaryPhase   `json:"phase"`
	Severity  v1beta1.AlertSeverity `json:"severity"`
	Reason    string                `json:"reason"`
	Message   string                `json:"message"`
	Fields    map[string]string     `json:"fields,omitempty"`
}

func webhook(_ Chat, _ *url.URL, m Message) any {
	fields := map[string]string{}
	for _, f := range m.Fields {
		fields[f.Name] = f.Value
	}
	return webhookMessage{
		Name: m.Canary, Namespace: m.Namespace, Phase: m.Phase, Severity: m.Severity, Reason: m.Reason, Message: m.Text, Fields: fields,
	}
}
