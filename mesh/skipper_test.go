package mesh

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// Whatever somebody has written there: nobody who may reach the canary is overlooked. An Ingress that no request meets sends nobody anywhere.
func TestSkipperReadsWhatIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		weights, predicate string
		canary             int
		problem            string
	}{
		"weights":           {`{"podinfo-primary": 30, "podinfo-canary": 10}`, skipperWins, 25, ""},
		"fractions":         {`{"podinfo-primary": 0.9, "podinfo-canary": 0.1}`, "", 10, ""},
		"one side only":     {`{"podinfo-canary": 1}`, `Weight(100) && Path("/")`, 100, ""},
		"never met":         {`{"podinfo-primary": 0, "podinfo-canary": 100}`, `Path("/") && False()`, 0, ""},
		"none":              {``, skipperWins, 50, "holds no weights"},
		"no numbers":        {`{"podinfo-primary": "all"}`, skipperWins, 50, "holds no weights"},
		"weights of others": {`{"other": 100}`, skipperWins, 50, "holds no weights"},
		"Flagger's at rest": {`{"podinfo-primary":100,"podinfo-canary":0}`, skipperWins, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := plainCanary()
			c.Spec.IngressRef = &v1beta1.LocalObjectReference{Name: "public"}
			p := informed(t, skipper{}, c)
			u := render(t, p, c, nil, core.RouteIntent{Split: core.Split{Primary: 100}})
			annotate(u, skipperPrefix, map[string]string{skipperWeights: tt.weights, skipperPredicate: tt.predicate})
			got := p.Read(c, u)
			if got.Canary != tt.canary || got.Primary+got.Canary != 100 || !strings.Contains(got.Problem, tt.problem) || got.Accepted != (tt.problem == "") {
				t.Errorf("read %+v", got)
			}
		})
	}
}

// At rest no request meets the Ingress beside the user's, also before the first rollout; conditions are refused, never left out.
func TestSkipperAtRest(t *testing.T) {
	c := plainCanary()
	c.Spec.IngressRef = &v1beta1.LocalObjectReference{Name: "public"}
	p := informed(t, skipper{}, c)
	u := render(t, p, c, nil, core.RouteIntent{Split: core.Split{Primary: 100}})
	if got := u.GetAnnotations()[skipperPredicate]; !strings.HasPrefix(got, skipperNever+skipperAnd+"Header(") {
		t.Errorf("predicate %s", got)
	}
	_, err := p.Render(c, p.Objects(c)[0], u, core.RouteIntent{Split: core.Split{Canary: 100, Matched: true}})
	if err == nil || !strings.Contains(err.Error(), "spec.analysis.match") {
		t.Errorf("conditions: %v", err)
	}
}
