package certs

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Mode says who issues the serving certificate.
type Mode string

const (
	// ModeBuiltin issues the certificate from Sluice's own authority and injects the CA into the webhook configurations.
	ModeBuiltin Mode = "builtin"
	// ModeFiles serves tls.crt and tls.key of a mounted folder and reloads them when they change.
	ModeFiles Mode = "files"
)

// Defaults of [Options].
const (
	DefaultCASecret      = "sluice-webhook-ca"
	DefaultService       = "sluice-webhook"
	DefaultClusterDomain = "cluster.local"
	DefaultConfiguration = "sluice"
	DefaultDir           = "/tmp/k8s-webhook-server/serving-certs"
	// DefaultCADuration is five years. A CA is replaced when a third of it is left, so the replacement runs every 40 months or so: seldom
	// enough to be no source of surprises, and with 20 months of reserve for an installation that is switched off for long.
	DefaultCADuration = 5 * 365 * 24 * time.Hour
	// DefaultLeafDuration is a week, as a leaf's key lives in memory only and renewing it costs nothing. Renewed when a third of it is left.
	DefaultLeafDuration = 7 * 24 * time.Hour
	// DefaultSettle covers an API server's watch lag and the usual difference of two clocks.
	DefaultSettle = 10 * time.Second
	// DefaultOverlap leaves a replica that was cut off from the API server time to catch up before its old leaf loses trust.
	DefaultOverlap = time.Hour
)

// Options configure a [Source]. The zero value of each field but Namespace takes the default named beside it.
type Options struct {
	// Mode is the source of the certificate. Default: [ModeBuiltin].
	Mode Mode
	// Namespace is where Sluice runs: the CA Secret and the webhook Service live there. Required by ModeBuiltin.
	Namespace string
	// Service is the name of the webhook Service. Default: [DefaultService].
	Service string
	// ClusterDomain ends the Service's long DNS name. Default: [DefaultClusterDomain].
	ClusterDomain string
	// ExtraDNSNames are added to the leaf, for webhooks that are reached by URL instead of by Service. Default: none.
	ExtraDNSNames []string
	// CASecret is the name of the Secret with the keys ca.crt, tls.crt and tls.key. Default: [DefaultCASecret].
	CASecret string
	// CADuration is the life of a CA. More than three times LeafDuration. Default: [DefaultCADuration].
	CADuration time.Duration
	// LeafDuration is the life of a serving certificate. Default: [DefaultLeafDuration].
	LeafDuration time.Duration
	// Settle is how long a published CA has to stand, and a new leaf has to be valid, before the leaf replaces one that works. Default: [DefaultSettle].
	Settle time.Duration
	// Overlap is how long a replaced CA stays in the bundle. More than twice Settle. Default: [DefaultOverlap].
	Overlap time.Duration
	// ValidatingConfiguration and MutatingConfiguration name the webhook configurations that the CA is written into. A configuration that does
	// not exist is written when it appears. Default: [DefaultConfiguration].
	ValidatingConfiguration, MutatingConfiguration string
	// Dir is the folder that ModeFiles reads tls.crt and tls.key from. Default: [DefaultDir].
	Dir string
	// Now is the clock for decisions about rotation. The authority itself uses the system's. Default: time.Now.
	Now func() time.Time
}

// Source serves a certificate to the webhook server. All methods are safe for concurrent use.
type Source interface {
	// TLS makes a server present the certificate; give it to the webhook server as one of its TLSOpts. Handshakes fail until there is one.
	TLS(config *tls.Config)
	// SetupWithManager adds what keeps the certificate fresh to the manager. It runs on every replica, leader or not.
	SetupWithManager(mgr manager.Manager) error
	// Ready is a healthz.Checker: nil once a valid certificate is served and, where that is this process's task, the API servers can trust it.
	Ready(req *http.Request) error
}

// New returns the source that the options ask for. It touches the API server only once the manager runs; [ModeFiles] reads its files at once.
func New(opts Options) (Source, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if opts.Mode == ModeFiles {
		return newFiles(opts)
	}
	return newBuiltin(opts), nil
}

// BindFlags declares the command line flags that fill the options.
func (o *Options) BindFlags(fs *flag.FlagSet) {
	fs.Func("certs-mode", `who issues the webhook's certificate: "builtin" (Sluice itself) or "files" (mounted, for example by cert-manager) (default "builtin")`,
		func(value string) error {
			o.Mode = Mode(value)
			return o.validateMode()
		})
	fs.StringVar(&o.Dir, "certs-dir", DefaultDir, "folder with tls.crt and tls.key, for -certs-mode=files")
	fs.StringVar(&o.CASecret, "certs-ca-secret", DefaultCASecret, "Secret that keeps the built-in CA, in Sluice's own namespace")
	fs.DurationVar(&o.CADuration, "certs-ca-duration", DefaultCADuration, "life of the built-in CA; it is replaced when a third is left")
	fs.DurationVar(&o.LeafDuration, "certs-leaf-duration", DefaultLeafDuration, "life of a serving certificate; it is renewed when a third is left")
	fs.DurationVar(&o.Settle, "certs-settle", DefaultSettle, "wait between publishing a new CA and serving a certificate that it signed")
	fs.DurationVar(&o.Overlap, "certs-overlap", DefaultOverlap, "how long a replaced CA stays trusted")
	fs.StringVar(&o.Service, "webhook-service", DefaultService, "name of the webhook Service, in Sluice's own namespace")
	fs.StringVar(&o.ClusterDomain, "cluster-domain", DefaultClusterDomain, "DNS domain of the cluster")
	fs.StringVar(&o.ValidatingConfiguration, "validating-webhook-configuration", DefaultConfiguration, "ValidatingWebhookConfiguration that the built-in CA is written into")
	fs.StringVar(&o.MutatingConfiguration, "mutating-webhook-configuration", DefaultConfiguration, "MutatingWebhookConfiguration that the built-in CA is written into")
}

// serverName is the name by which API servers call the webhook, and which they demand of its certificate.
func (o Options) serverName() string {
	return o.Service + "." + o.Namespace + ".svc"
}

func (o Options) dnsNames() []string {
	return append([]string{o.serverName(), o.serverName() + "." + o.ClusterDomain}, o.ExtraDNSNames...)
}

func (o Options) withDefaults() Options {
	for field, fallback := range map[*string]string{
		(*string)(&o.Mode):         string(ModeBuiltin),
		&o.Service:                 DefaultService,
		&o.ClusterDomain:           DefaultClusterDomain,
		&o.CASecret:                DefaultCASecret,
		&o.ValidatingConfiguration: DefaultConfiguration,
		&o.MutatingConfiguration:   DefaultConfiguration,
		&o.Dir:                     DefaultDir,
	} {
		if *field == "" {
			*field = fallback
		}
	}
	for field, fallback := range map[*time.Duration]time.Duration{
		&o.CADuration:   DefaultCADuration,
		&o.LeafDuration: DefaultLeafDuration,
		&o.Settle:       DefaultSettle,
		&o.Overlap:      DefaultOverlap,
	} {
		if *field == 0 {
			*field = fallback
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) validateMode() error {
	if o.Mode != ModeBuiltin && o.Mode != ModeFiles {
		return fmt.Errorf("certificate mode %q is unknown: use %q or %q", o.Mode, ModeBuiltin, ModeFiles)
	}
	return nil
}

func (o Options) validate() error {
	if err := o.validateMode(); err != nil || o.Mode == ModeFiles {
		return err
	}
	var errs []error
	if o.Namespace == "" {
		errs = append(errs, errors.New("namespace is empty: name the namespace that Sluice runs in"))
	}
	if o.LeafDuration < time.Second {
		errs = append(errs, fmt.Errorf("leaf duration %s is too short: use at least 1s", o.LeafDuration))
	}
	if o.CADuration <= 3*o.LeafDuration {
		errs = append(errs, fmt.Errorf("CA duration %s is too short for the leaf duration %s: a CA is replaced when a third of it is left, so use more than %s",
			o.CADuration, o.LeafDuration, 3*o.LeafDuration))
	}
	if o.Settle < 0 || o.Overlap <= 2*o.Settle {
		errs = append(errs, fmt.Errorf("overlap %s is too short for the settle time %s: the replicas switch after the settle time, so use more than %s",
			o.Overlap, o.Settle, 2*o.Settle))
	}
	return errors.Join(errs...)
}
