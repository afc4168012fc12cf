package simulation

import "slices"

// Shrink leaves actions out of a schedule that breaks a promise, and waits, as long as what is left still breaks the same one.
func (s Schedule) Shrink(broken Promise) Schedule {
	fails := func(actions []Action) bool {
		w := Schedule{s.Strategy, s.Seed, actions}.Play(NewCoverage(), false)
		return len(w.violations) > 0 && w.violations[0].Promise == broken
	}
	kept := slices.Clone(s.Actions)
	for n := len(kept); n > 0; n /= 2 {
		for from := 0; from+n <= len(kept); {
			rest := slices.Concat(kept[:from], kept[from+n:])
			if fails(rest) {
				kept = rest
			} else {
				from++
			}
		}
	}
	for i := range kept {
		for _, simpler := range []func(*Action){func(a *Action) { a.On = "" }, func(a *Action) { a.Mid = 0 }, func(a *Action) { a.Wait = 0 }} {
			try := slices.Clone(kept)
			simpler(&try[i])
			if try[i] != kept[i] && fails(try) {
				kept = try
			}
		}
	}
	s.Actions = kept
	return s
}
