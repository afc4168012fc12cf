package simulation

import (
	"maps"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// This file models the one config that the target references, and admission. Pods read it at their start and, where it is mounted, some time after
// it changed.

// landing is a change of the config that admission let through and that is stored later.
type landing struct {
	at      moment
	content int8
	// fenced is when admission took users off the canary for it; -1 for never.
	fenced moment
	seen   bool
}

type configs struct {
	mounted  bool
	landings []landing
	// stamps are what admission recorded on the target and the config.
	stamps map[string]v1beta1.Admitted
	// admissionSees is the Canary in the cache of admission, which catches up at admissionAt.
	admissionSees canary
	admissionAt   moment
}

func (w *World) webhook() bool { return w.webhookUntil <= w.now }

// live is what the target and its config make up.
func (w *World) live() revision { return revision{w.target.real.spec.template, w.config.real} }

// admit is the Canary as admission knows it.
func (w *World) admit() *v1beta1.Canary {
	c := w.canaryOf(&w.admissionSees)
	return &c
}

// push is a user's change of the target's template.
func (w *World) push(template int8) {
	d := w.target.real
	if !d.exists || d.spec.template == template || w.refused() {
		return
	}
	w.say("user: pushes %s", revision{template: template}.hash())
	w.snapshotFirst()
	d.spec = revision{template: template}
	if w.webhook() && !w.canary.real.gone && !w.strategy.service {
		w.admitTemplate(&d)
	}
	if w.unattended(&d) {
		w.trusted |= revision{template, w.config.real}.bit()
	}
	if w.goesBy() {
		// Nobody holds it back, and whoever deletes a Canary gets the target as they ask for it.
		w.unheld()
		w.asAsked = w.asAsked || w.canary.real.deleted
	}
	w.edit(&w.target, d)
	w.userChanged()
}

// goesBy tells that a change of the target meets nobody who would hold it.
func (w *World) goesBy() bool { return !w.webhook() && !w.strategy.service || w.canary.real.deleted }

// unattended tells whether users are on a target that nobody looks after yet, or any more: what it is changed to serves at once.
func (w *World) unattended(d *deployment) bool {
	return w.strategy.ephemeral && (!d.guarded || !d.held && w.initialising())
}

// admitTemplate is what admission does with a target that is about to get another template: it records who asks for it, and may hold it.
func (w *World) admitTemplate(d *deployment) {
	w.stamp(core.PartTemplate, "alice", d.spec.hash())
	if d.guarded && !w.admissionSees.deleted || core.NeedsHold(w.admit(), at(w.now)) {
		d.held = true
		w.say("admission: holds the change")
		return
	}
	switch stageOf(w.status()) {
	case "", v1beta1.StageSettling, v1beta1.StageConfirming:
	default:
		// Admission did not know yet that a canary may have pods; those that have been there already are replaced.
		w.unheld()
	}
}

// snapshotFirst is what admission stores before a change lands.
func (w *World) snapshotFirst() {
	if w.strategy.service || !w.webhook() || w.canary.real.gone || w.admissionSees.status == nil || w.admissionSees.status.Phase == "" {
		return
	}
	if s := w.snapshots.real.with(w.live()); s != w.snapshots.real {
		set(w, kindSnapshots, &w.snapshots, s)
	}
}

func (w *World) stamp(part, by, digest string) {
	w.stamps = maps.Clone(w.stamps)
	if w.stamps == nil {
		w.stamps = map[string]v1beta1.Admitted{}
	}
	w.stamps[part] = v1beta1.Admitted{By: by, Digest: digest}
}

// changeConfig is a user's change of the config, stored after a delay, or never: something behind admission refused it.
func (w *World) changeConfig(content int8, delay time.Duration, refused bool) {
	if content == w.config.real || w.strategy.ephemeral || w.strategy.service {
		// What an ephemeral primary's target references is immutable, and a Service references nothing.
		return
	}
	l := landing{at: w.now + delay, content: content, fenced: -1, seen: w.webhook()}
	w.snapshotFirst()
	if w.webhook() && !w.canary.real.gone && w.strategy.weighted && w.route.real.exists && core.NeedsFence(w.admit()) {
		w.fenceRoute()
		l.fenced = w.now
	}
	if refused {
		w.say("user: changes the config to %q, which is refused", catalogue.config[content])
		return
	}
	w.say("user: changes the config to %q", catalogue.config[content])
	w.landings = append(w.landings, l)
}

// fenceRoute is what admission has the router do. While the primary is being rolled it cannot take all users.
func (w *World) fenceRoute() {
	r := w.route.real
	r.fence = &v1beta1.Fence{Cause: page, At: w.micro()}
	r.fences++
	next := r.split
	if !core.FenceKeepsSplit(w.admit()) {
		next = split{Split: onPrimary().Split, viaApex: next.viaApex}
	}
	w.say("admission: fences the route")
	if !next.same(r.split) {
		// Nobody could give the primary pods for them before.
		w.loadAt = max(w.loadAt, w.now-scalerPatience+reaction)
		r.split, r.accepted = next, false
		r.generation++
		w.direct(next)
	}
	set(w, kindRoute, &w.route, r)
}

// landConfigs lets changes land, and pods read them.
func (w *World) landConfigs() {
	for i := 0; i < len(w.landings); i++ {
		l := w.landings[i]
		if l.at > w.now {
			continue
		}
		w.landings = slices.Delete(w.landings, i, i+1)
		i--
		w.land(l)
	}
	if !w.mounted {
		return
	}
	for i := range w.target.pods {
		if p := &w.target.pods[i]; p.syncAt <= w.now {
			p.content.config, p.syncAt = w.config.real, never
		}
	}
}

func (w *World) land(l landing) {
	if !set(w, kindConfig, &w.config, l.content) {
		return
	}
	w.say("the config is %q", catalogue.config[l.content])
	if l.seen {
		w.stamp(page, "bob", catalogue.config[l.content])
	}
	w.configKnown(l.fenced)
	w.userChanged()
	if w.mounted {
		for i := range w.target.pods {
			w.target.pods[i].syncAt = w.now + w.slow(diceConfig, 1, 6*time.Second)
		}
	}
}
