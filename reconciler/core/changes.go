package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PartTemplate is how the pod template is called among the parts of a revision; the others are called by their keys in Revision.Configs.
const PartTemplate = "template"

// Change is one part in which a revision differs from another.
type Change struct {
	// Part is PartTemplate or a key of Revision.Configs.
	Part string
	// By is who made the change; empty where admission has not recorded it.
	By string
	// Unseen tells that the part was changed while admission was away.
	Unseen bool
}

// Changes lists what differs between a revision and the one before it, the template first, then configs by key. A config that came or went with a
// reference was changed by whoever changed the template, so nobody is named unless admission saw it change.
func Changes(live, before *Revision) []Change {
	var out []Change
	if live.Template != before.Template {
		out = append(out, live.change(PartTemplate, live.Template, true))
	}
	keys := slices.Concat(slices.Collect(maps.Keys(live.Configs)), slices.Collect(maps.Keys(before.Configs)))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		now, is := live.Configs[key]
		then, was := before.Configs[key]
		switch {
		case is && was && now == then:
		case is:
			out = append(out, live.change(key, now, was))
		default:
			out = append(out, Change{Part: key})
		}
	}
	return out
}

// change describes a part that has changed; admission looks at tracked ones only.
func (r *Revision) change(part, digest string, tracked bool) Change {
	if a, stamped := r.Admitted[part]; stamped && a.Digest == digest {
		return Change{Part: part, By: a.By}
	}
	return Change{Part: part, Unseen: tracked}
}

// Authors names who made the changes, sorted, each once, in at most MaxAuthors characters; empty where nobody is known.
func Authors(changes []Change) string {
	var names []string
	for _, c := range changes {
		if c.By != "" {
			names = append(names, c.By)
		}
	}
	slices.Sort(names)
	return cut(strings.Join(slices.Compact(names), ", "), MaxAuthors)
}

// MaxAuthors and maxChanges bound what is written about who changed what: in characters, and in parts.
const (
	MaxAuthors = 256
	maxChanges = 10
)

// describe says what changed and by whom: "template by alice, configmap/page".
func describe(changes []Change) string {
	var parts []string
	for _, c := range changes[:min(len(changes), maxChanges)] {
		if c.By != "" {
			c.Part += " by " + c.By
		}
		parts = append(parts, c.Part)
	}
	if more := len(changes) - maxChanges; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}

// tellChanges announces a new revision: what changed and by whom, and what passed while admission was away. That is known of what Sluice tracked
// before, so never of the first revision. A revision that takes the place of another one, as each further object of one apply makes it, says so.
func (d *decision) tellChanges(live *Revision, overtaken string) {
	changes := Changes(live, d.in.Promoted)
	if d.podless() {
		// It has no configs.
		for i := range changes {
			changes[i].Part = "spec"
		}
	}
	message := fmt.Sprintf("New revision detected! %s revision %s", d.target(), live.Digest)
	if overtaken != "" && overtaken != live.Digest {
		message += " in place of " + overtaken
	}
	if what := describe(changes); what != "" {
		message += ": " + what
	}
	d.normal("NewRevision", "%s", message)
	for _, c := range changes {
		// Nobody asks admission about a change of a Service.
		if !c.Unseen || d.podless() {
			continue
		}
		kind, name, isConfig := strings.Cut(c.Part, "/")
		if !isConfig {
			kind, name = strings.ToLower(d.spec.TargetRef.Kind), d.spec.TargetRef.Name
		}
		d.plan.CaughtUp = append(d.plan.CaughtUp, kind)
		d.warn("CaughtUp", "%s/%s was changed while admission was away, it is analysed like any other change", kind, name)
	}
}
