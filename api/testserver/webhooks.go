//go:build integration

package testserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// WebhookTimeout is how many seconds API servers wait for a webhook here. The two seconds that are shipped are too short for a machine that builds and
// tests other things at the same time: what is not answered by then goes by, and no test would know why.
const WebhookTimeout int32 = 20

// readWebhooks reads the webhook configurations in folders and gives each call more time.
func readWebhooks(folders []string) (out envtest.WebhookInstallOptions, err error) {
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			return out, errors.Join(fmt.Errorf("no webhook configurations in %s", folder), err)
		}
		for _, file := range files {
			if err := readWebhookFile(file, &out); err != nil {
				return out, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return out, nil
}

func readWebhookFile(path string, into *envtest.WebhookInstallOptions) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch object.GetKind() {
		case "MutatingWebhookConfiguration":
			c := &admissionv1.MutatingWebhookConfiguration{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, c, true); err != nil {
				return err
			}
			into.MutatingWebhooks = append(into.MutatingWebhooks, c)
			for i := range c.Webhooks {
				c.Webhooks[i].TimeoutSeconds = new(WebhookTimeout)
			}
		case "ValidatingWebhookConfiguration":
			c := &admissionv1.ValidatingWebhookConfiguration{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, c, true); err != nil {
				return err
			}
			into.ValidatingWebhooks = append(into.ValidatingWebhooks, c)
			for i := range c.Webhooks {
				c.Webhooks[i].TimeoutSeconds = new(WebhookTimeout)
			}
		}
	}
}
