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

// connect reads the files of tokens and programs and finds the ConfigMap of the gates, as far as the flags name them.
func (o *options) connect() error {
	if err := o.readFiles(); err != nil {
		return err
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
	return o.shareGates(config, strings.TrimSpace(string(namespace)))
}

// shareGates has the gates kept in the ConfigMap of the flag, in a namespace of the cluster that config leads to.
func (o *options) shareGates(config *rest.Config, namespace string) error {
	config.Timeout = gatesTimeout
	client, err := corev1.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("gates-configmap %s: %w", o.gates, err)
	}
	o.config.Gates = loadtester.NewSharedGates(client.ConfigMaps(namespace), o.gates)
	return nil
}

func (o *options) readFiles() error {
	if o.tokens != "" {
		text, err := os.ReadFile(o.tokens)
		if err != nil {
			return fmt.Errorf("token-file: %w", err)
		}
		if o.config.Tokens, err = loadtester.ParseTokens(string(text)); err != nil {
			return fmt.Errorf("token-file %s: %w", o.tokens, err)
		}
	}
	if o.programs != "" {
		text, err := os.ReadFile(o.programs)
		if err != nil {
			return fmt.Errorf("programs-file: %w", err)
		}
		if o.config.Programs, err = loadtester.ParsePrograms(string(text)); err != nil {
			return fmt.Errorf("programs-file %s: %w", o.programs, err)
		}
	}
	return nil
}
