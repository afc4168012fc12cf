package mesh

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// Objects that were there before the Canary are taken over, moved and given back: metadata and what others keep in them are as they were. What is not
// as it was are the fields that the Canary names, and the rule that is its own; each of these is listed. Taking over and giving back once more changes nothing.
func TestWhatIsGivenBackOfATakeOver(t *testing.T) {
	for provider, want := range map[string][]string{
		"contour": {
			`spec.routes[0].conditions: > [{"prefix":"/"}]`, `spec.routes[0].services[0].port: 80 > 9898`,
			`spec.routes[0].services[0].requestHeadersPolicy: > {"set":[{"name":"l5d-dst-override","value":"podinfo.test.svc.cluster.local:9898"}]}`,
			`spec.routes[0].services[0].weight: > 100`,
		},
		"gatewayapi:v1": {
			`metadata.labels.team: "web" > "shop"`, `spec.hostnames[0]: "old.example.com" > "app.example.com"`, `spec.parentRefs[0].name: "old" > "public"`,
			`spec.rules[1].backendRefs[0].weight: 1 > 100`, `spec.rules[1].filters[1].requestHeaderModifier.set[0].value: "hand" > "sluice"`,
			`spec.rules[1].timeouts: {"request":"30s"} >`,
		},
		"gloo": {
			`spec.routes[1].inheritablePathMatchers: > true`, `spec.routes[1].matchers: [{"prefix":"/"}] >`,
			`spec.routes[1].routeAction.multi: > {"destinations":[{"destination":{"kube":{"port":9898,"ref":{"name":"podinfo","namespace":"test"}}},"weight":100}]}`,
			`spec.routes[1].routeAction.single: {"upstream":{"name":"test-podinfo-9898","namespace":"gloo-system"}} >`,
		},
		"istio": {
			`spec.gateways[0]: "old" > "public"`, `spec.hosts: ["old.example.com"] > ["app.example.com","podinfo"]`,
			`spec.http[1].route[0].destination.host: "podinfo.test.svc.cluster.local" > "podinfo"`, `spec.http[1].route[0].weight: > 100`,
			`spec.http[1].timeout: "30s" > "5s"`,
		},
		"traefik": {
			`spec.weighted.services[0].namespace: > "test"`, `spec.weighted.services[0].port: 80 > 9898`, `spec.weighted.services[0].weight: > 100`,
		},
	} {
		t.Run(provider, func(t *testing.T) {
			in := readSituation(t, strings.TrimSuffix(provider, ":v1"), "take-over")
			p := informed(t, implementations()[provider], in.canary)
			objects := p.Objects(in.canary)
			o := objects[len(objects)-1]
			leave := func() []difference {
				live := in.live
				for _, split := range []core.Split{{Primary: 100}, {Primary: 70, Canary: 30}} {
					next, err := p.Render(in.canary, o, live, core.RouteIntent{Split: split})
					if err != nil {
						t.Fatal(err)
					}
					claim(next, in.canary, o, false)
					live = next
				}
				back := p.Divert(in.canary, live, core.RouteIntent{Split: core.Split{Primary: 100}, ViaApex: true})
				release(back, in.canary)
				changed := differences(in.live, back)
				in.live = back
				return changed
			}
			var got []string
			for _, d := range leave() {
				got = append(got, d.name()+": "+strings.TrimSpace(d.from+" > "+d.to))
			}
			if !slices.Equal(got, want) {
				t.Errorf("given back with\n\t%s", strings.Join(got, "\n\t"))
			}
			if again := leave(); len(again) > 0 {
				t.Errorf("a second time: %+v", again)
			}
		})
	}
}
