package validation

import (
	"net/url"
	"slices"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// AlertReferences lists what an AlertProvider names.
func AlertReferences(p *v1beta1.AlertProvider) []Reference {
	return secretReferences("spec.secretRef", p.Namespace, p.Spec.SecretRef)
}

// ValidateAlertProvider judges an AlertProvider by itself, as ValidateCanary does a Canary. Of the options it looks at Facts.Missing.
func ValidateAlertProvider(p *v1beta1.AlertProvider, opts Options) (denials, warnings []Issue) {
	if p.DeletionTimestamp != nil {
		return nil, nil
	}
	f := &findings{}
	s := &p.Spec
	chats := v1beta1.AlertTypes()
	if !slices.Contains(chats, s.Type) {
		f.deny("spec.type", s.Type, "is not a known chat; use one of %s", list(chats))
	}
	switch {
	case s.Address == "" && s.SecretRef == nil:
		f.deny("spec", nil, "has neither address nor secretRef; set one of them")
	case s.Address != "" && s.SecretRef != nil:
		f.deny("spec", nil, "has both address and secretRef; keep one")
	}
	if s.Address != "" {
		f.secretURL("spec.address", s.Address)
	}
	f.secret("spec.secretRef", s.SecretRef)
	f.proxy("spec.proxy", s.Proxy)
	for _, m := range opts.Facts.Missing {
		f.warn(m.Field, m.Kind+"/"+m.Name, "does not exist; alerts are lost until it is created")
	}
	return f.denials, f.warnings
}

// proxy denies what cannot be the URL of a proxy. It may hold a password, which is not repeated.
func (f *findings) proxy(field, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		f.deny(field, nil, "is not the URL of a proxy; use for example http://proxy:3128")
	}
}
