package core

import "fmt"

// This file is the part of the model that knows of more than two shares: conditions, copies and cookies.

// describeSplit writes a split as stories do.
func describeSplit(s Split) string {
	text := fmt.Sprintf("%d/%d", s.Primary, s.Canary)
	if s.Matched {
		text += " of requests that match, the others to the primary"
	}
	if s.Mirror > 0 {
		text += fmt.Sprintf(", %d%% are copied to the canary", s.Mirror)
	}
	if s.Cookie != "" {
		text += ", the canary keeps its users by " + s.Cookie
	}
	if s.PrimaryCookie != "" {
		text += ", the primary by " + s.PrimaryCookie
	}
	if s.Revoked != "" {
		text += ", who brings " + s.Revoked + " is led back"
	}
	return text
}

// firstWeight is the share of users at which a revision may meet its first ones; 100 where none is asked for.
func (w *world) firstWeight() int {
	in := w.observe()
	for _, s := range newDecision(in).steps() {
		if s.weight > 0 {
			return int(s.weight)
		}
	}
	return 100
}
