package simulation

// snapshots are the stored revisions of the target, with their marks.
type snapshots struct {
	known                    uint32
	promoted, baseline       revision
	hasPromoted, hasBaseline bool
}

func (r revision) bit() uint32 { return 1 << (int(r.template)*contents + int(r.config)) }

func (s snapshots) has(r revision) bool { return s.known&r.bit() != 0 }

func (s snapshots) with(r revision) snapshots {
	s.known |= r.bit()
	return s
}

// withBaseline has the mark of the baseline at a revision that is known; any other digest changes nothing.
func (s snapshots) withBaseline(digest string) snapshots {
	if r, ok := parse(digest); ok && s.has(r) {
		s.baseline, s.hasBaseline = r, true
	}
	return s
}

// withPromoted has the mark of the promoted revision at another one that is known, and no baseline any more; any other digest changes nothing.
func (s snapshots) withPromoted(digest string) snapshots {
	if r, ok := parse(digest); ok && s.has(r) && (!s.hasPromoted || s.promoted != r) {
		s.promoted, s.hasPromoted, s.hasBaseline = r, true, false
	}
	return s
}

// without is what is left when somebody deletes a snapshot.
func (s snapshots) without(r revision) snapshots {
	s.known &^= r.bit()
	s.hasPromoted = s.hasPromoted && s.promoted != r
	s.hasBaseline = s.hasBaseline && s.baseline != r
	return s
}

// storedMap is the set as the core is told of it. Sets are few, so each is made once.
func (w *World) storedMap() map[string]bool {
	known := w.snapshots.seen.known
	if w.storedSet != nil && w.storedKnown == known {
		return w.storedSet
	}
	set := map[string]bool{}
	for t := range int8(templates) {
		for c := range int8(contents) {
			if r := (revision{t, c}); known&r.bit() != 0 {
				set[r.digest()] = true
			}
		}
	}
	w.storedSet, w.storedKnown = set, known
	return set
}
