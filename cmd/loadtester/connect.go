package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/analysis/loadtester"
)

// namespaceFile is where a pod with a service account reads its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// gatesTimeout bounds a request about a gate: the hook that asks has gone by then.
const gatesTimeout = 8 * time.Second

// connect reads the file of tokens and finds the ConfigMap of the gates, as far as the flags name them.
func (o *options) connect() error {
	if o.tokens != "" {
		text, err := os.ReadFile(o.tokens)
		if err != nil {
			return fmt.Errorf("token-file: %w", err)
		}
		if o.config.Tokens, err = loadtester.ParseTokens(string(text)); err != nil {
			return fmt.Errorf("token-file %s: %w", o.tokens, err)
		}
	}
	if o.gates == "" {
		return nil
	}
	namespace, err := os.ReadFile(namespaceFile)
	if err != nil {
		return fmt.Errorf("gates-configmap %s: the pod's namespace is unknown, which needs a service account with its token mounted: %w", o.gates, err)
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("gates-configmap %s: %w", o.gates, err)
	}
	config.Timeout = gatesTimeout
	client, err := corev1.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("gates-configmap %s: %w", o.gates, err)
	}
	o.config.Gates = loadtester.NewSharedGates(client.ConfigMaps(strings.TrimSpace(string(namespace))), o.gates)
	return nil
}
