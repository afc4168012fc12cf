package main

import (
	"context"
	"fmt"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	"github.com/cert-manager/cert-manager/pkg/util"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// startInjecting starts cert-manager's CA injector for webhook configurations.
func startInjecting(ctx context.Context, kubeconfig string, giveUp context.CancelCauseFunc) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig %s: %w", kubeconfig, err)
	}
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, cmapi.AddToScheme} {
		if err := add(known); err != nil {
			return fmt.Errorf("naming the types of the CA injector: %w", err)
		}
	}
	mgr, err := manager.New(util.RestConfigWithUserAgent(cfg, "cainjector"), manager.Options{
		Scheme: known,
		// Only the metadata of Secrets is kept, as in cert-manager's own program.
		Client:  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		Metrics: server.Options{BindAddress: "0"},
	})
	if err != nil {
		return fmt.Errorf("building the manager of the CA injector: %w", err)
	}
	if err := cainjector.RegisterAllInjectors(ctx, mgr, cainjector.SetupOptions{
		EnableCertificatesDataSource: true,
		EnabledReconcilersFor: map[string]bool{
			cainjector.MutatingWebhookConfigurationName:   true,
			cainjector.ValidatingWebhookConfigurationName: true,
		},
	}); err != nil {
		return fmt.Errorf("building the CA injector: %w", err)
	}
	go func() {
		if err := mgr.Start(ctx); err != nil {
			giveUp(fmt.Errorf("the CA injector: %w", err))
		}
	}()
	return nil
}
