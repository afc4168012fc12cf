package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	// Each of these registers itself.
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

const (
	// workers is how many objects each controller handles at the same time; cert-manager's default.
	workers = 5
	// Requests per second to an API server that does not limit them itself, and after a failed request the wait before the next: cert-manager's defaults.
	requestRate, requestBurst = 20, 50
	minimumBackoff            = time.Hour
	maximumBackoff            = 32 * time.Hour
)

// startIssuing starts all controllers that are imported here; giveUp hears of one that ends with an error.
func startIssuing(ctx context.Context, kubeconfig string, giveUp context.CancelCauseFunc) error {
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig:         kubeconfig,
		KubernetesAPIQPS:   requestRate,
		KubernetesAPIBurst: requestBurst,
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: minimumBackoff,
			CertificateRequestMaximumBackoffDuration: maximumBackoff,
		},
	})
	if err != nil {
		return fmt.Errorf("building cert-manager's clients: %w", err)
	}
	shared, err := factory.Build()
	if err != nil {
		return fmt.Errorf("building cert-manager's clients: %w", err)
	}
	controllers := map[string]controller.Interface{}
	for name, build := range controller.Known() {
		if controllers[name], err = build(factory); err != nil {
			return fmt.Errorf("building cert-manager's controller %s: %w", name, err)
		}
	}
	// The controllers have asked for their informers by now.
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	for name, c := range controllers {
		go func() {
			if err := c.Run(workers, ctx); err != nil {
				giveUp(fmt.Errorf("cert-manager's controller %s: %w", name, err))
			}
		}()
	}
	return nil
}
