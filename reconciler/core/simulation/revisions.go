package simulation

import (
	"fmt"

	"github.com/sluice-dev/sluice/reconciler/core"
)

// revision is what pods run: a template and the content of the one config that it references.
type revision struct{ template, config int8 }

// The templates that users push. Pods of brokenTemplate never become ready, metrics always fail for badTemplate.
const (
	goodTemplates  = 5
	brokenTemplate = 5
	badTemplate    = 6
	templates      = 7
	contents       = 3
)

// page is the key of the config in a revision.
const page = "configmap/page"

// names are what all revisions are called: digests in hexadecimal digits, as operators write them, and back is the way from these to revisions; stored is
// what the core is told of them, config the contents of the config.
type names struct {
	digests [templates][contents]string
	stored  [templates][contents]*core.Revision
	back    map[string]revision
	config  [contents]string
}

// catalogue is never changed.
var catalogue = newCatalogue()

func newCatalogue() *names {
	n := &names{back: map[string]revision{}}
	for t := range int8(templates) {
		for c := range int8(contents) {
			content, digest := "", fmt.Sprintf("abc%03d", t+1)
			template := digest
			if c > 0 {
				content = fmt.Sprintf("c%d", c)
				digest += content
			}
			n.config[c] = content
			n.digests[t][c] = digest
			n.back[digest] = revision{t, c}
			n.stored[t][c] = &core.Revision{Digest: digest, Template: template, Replicas: 2, Configs: map[string]string{page: content}}
		}
	}
	return n
}

// digest identifies a revision towards the core.
func (r revision) digest() string { return catalogue.digests[r.template][r.config] }

// hash is the label of the pods of a template.
func (r revision) hash() string { return catalogue.digests[r.template][0] }

// bare is the revision without its config, as a target stores it.
func (r revision) bare() revision { return revision{template: r.template} }

// parse is the way back from a digest; what is no digest is a defect of the core.
func parse(digest string) (revision, bool) {
	r, ok := catalogue.back[digest]
	return r, ok
}
