package bench

import (
	"context"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Noop serves a webhook that allows everything, on the server stack that Sluice
// has, until the context ends.
func Noop(ctx context.Context, port int, certificates string) error {
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: certificates})
	handler := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	for _, path := range []string{"/mutate-workloads", "/mutate-configs"} {
		server.Register(path, &admission.Webhook{Handler: handler})
	}
	server.Register("/ready", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return server.Start(ctx)
}
