package validation

import "testing"

// App Mesh knows one entry of headers; the first version of its objects has to be told the mesh.
func TestAppMesh(t *testing.T) {
	const insiders = `iterations: 10, stepWeight: 0, match: [{headers: {x-user: {exact: me}, x-from: {suffix: b}}}]`
	const many = `{headers: {a: {exact: "1"}, b: {exact: "1"}, c: {exact: "1"}, d: {exact: "1"}, e: {exact: "1"}, f: {exact: "1"}, ` +
		`g: {exact: "1"}, h: {exact: "1"}, i: {exact: "1"}, j: {exact: "1"}, k: {exact: "1"}}}`
	for _, tt := range []ruleCase{
		{"steps", `{spec: {provider: appmesh:v1beta2}}`, nil},
		{"insiders", `{spec: {provider: appmesh:v1beta2, analysis: {` + insiders + `}}}`, nil},
		{"the first version", `{spec: {provider: appmesh, service: {meshName: global}, analysis: {` + insiders + `}}}`, nil},
		{"without a mesh", `{spec: {provider: appmesh}}`, []string{`spec.service.meshName: is required by provider appmesh`}},
		{"two entries", `{spec: {provider: appmesh:v1beta2, analysis: {iterations: 10, stepWeight: 0, match: [{headers: {a: {exact: b}}}, {headers: {c: {exact: d}}}]}}}`, []string{
			`spec.analysis.match: has 2 entries; provider appmesh:v1beta2 can express 1, with several headers`,
		}},
		{"many headers", `{spec: {provider: appmesh:v1beta2, analysis: {iterations: 10, stepWeight: 0, match: [` + many + `]}}}`, []string{
			`spec.analysis.match: has 11 headers; provider appmesh:v1beta2 can express 10`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			denials, _ := ValidateCanary(canary(t, tt.patch), options())
			expect(t, "denials", denials, tt.want...)
		})
	}
}
