package harness

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/e2e/tools"
)

// Flagger as it is installed here.
const (
	FlaggerNamespace  = "flagger-system"
	flaggerDeployment = "flagger"
	flaggerModule     = "github.com/fluxcd/flagger"
	flaggerImage      = "local/flagger:1.44.0"
)

//go:embed manifests/flagger.yaml
var flaggerManifest string

// FlaggerDir is the folder of Flagger's module: its manifests and its
// documentation are taken from there as they are.
func FlaggerDir(ctx context.Context) (string, error) {
	source, err := tools.SourceDir()
	if err != nil {
		return "", err
	}
	return tools.ModuleDir(ctx, filepath.Join(source, "tools", "flagger"), flaggerModule)
}

// InstallFlagger builds Flagger and runs it for all namespaces, with its own
// definitions and rights.
func (h *Harness) InstallFlagger(ctx context.Context) error {
	if err := h.Cluster.LoadTool(ctx, h.log, "flagger", "flagger", flaggerImage); err != nil {
		return fmt.Errorf("install Flagger: %w", err)
	}
	if err := h.ApplyFlaggerCRDs(ctx); err != nil {
		return err
	}
	account, err := flaggerFile(ctx, "artifacts/flagger/account.yaml")
	if err != nil {
		return err
	}
	deployment, err := Render("flagger.yaml", flaggerManifest, struct{ Image, MetricsServer string }{h.Cluster.Image(flaggerImage), MetricsServer})
	if err != nil {
		return err
	}
	namespace := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", FlaggerNamespace)
	account = strings.ReplaceAll(account, "namespace: default", "namespace: "+FlaggerNamespace)
	if err := h.Cluster.Apply(ctx, strings.Join([]string{namespace, account, deployment}, "\n---\n")); err != nil {
		return fmt.Errorf("install Flagger: %w", err)
	}
	return h.RolledOut(ctx, FlaggerNamespace, flaggerDeployment)
}

// ApplyFlaggerCRDs applies Flagger's own definitions of its three kinds.
func (h *Harness) ApplyFlaggerCRDs(ctx context.Context) error {
	definitions, err := flaggerFile(ctx, "artifacts/flagger/crd.yaml")
	if err != nil {
		return err
	}
	if err := h.Cluster.Apply(ctx, definitions); err != nil {
		return fmt.Errorf("install Flagger's definitions: %w", err)
	}
	_, err = h.Cluster.Kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=60s",
		"crd/canaries.flagger.app", "crd/metrictemplates.flagger.app", "crd/alertproviders.flagger.app")
	return err
}

func flaggerFile(ctx context.Context, name string) (string, error) {
	dir, err := FlaggerDir(ctx)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return "", fmt.Errorf("read what Flagger ships: %w", err)
	}
	return string(data), nil
}

// StopFlagger scales Flagger to zero, as the docs have its users do, and
// waits until no pod of it is left.
func (h *Harness) StopFlagger(ctx context.Context) error {
	if err := h.scaleFlagger(ctx, 0); err != nil {
		return err
	}
	_, err := h.Cluster.Kubectl(ctx, "", "-n", FlaggerNamespace, "wait", "--for=delete", "pod", "--selector=app=flagger", "--timeout="+h.timeout.String())
	return err
}

// StartFlagger scales it to one again, and waits until it runs.
func (h *Harness) StartFlagger(ctx context.Context) error {
	if err := h.scaleFlagger(ctx, 1); err != nil {
		return err
	}
	return h.RolledOut(ctx, FlaggerNamespace, flaggerDeployment)
}

func (h *Harness) scaleFlagger(ctx context.Context, replicas int) error {
	_, err := h.Cluster.Kubectl(ctx, "", "-n", FlaggerNamespace, "scale", "deployment/"+flaggerDeployment, fmt.Sprintf("--replicas=%d", replicas))
	return err
}

// FlaggerLog is the end of what Flagger has logged, for a report.
func (h *Harness) FlaggerLog(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	var out strings.Builder
	h.section(ctx, &out, "log of Flagger", "-n", FlaggerNamespace, "logs", "deployment/"+flaggerDeployment, "--tail=200")
	return out.String()
}

// FlaggerExample is the Canary of a number, from 1, among the complete ones
// in a file of Flagger's documentation, such as
// "tutorials/kubernetes-blue-green.md".
func FlaggerExample(ctx context.Context, file string, number int) (*unstructured.Unstructured, error) {
	text, err := flaggerFile(ctx, "docs/gitbook/"+file)
	if err != nil {
		return nil, err
	}
	found := 0
	for _, block := range codeBlock.FindAllStringSubmatch(text, -1) {
		o := &unstructured.Unstructured{}
		if yaml.Unmarshal([]byte(block[1]), &o.Object) != nil || o.GetKind() != v1beta1.CanaryKind {
			continue
		}
		spec, _, _ := unstructured.NestedMap(o.Object, "spec")
		if spec["targetRef"] == nil || spec["analysis"] == nil {
			continue
		}
		if found++; found == number {
			return o, nil
		}
	}
	return nil, fmt.Errorf("%s has %d complete Canaries, not %d", file, found, number)
}

var codeBlock = regexp.MustCompile("(?s)```ya?ml\n(.*?)```")
