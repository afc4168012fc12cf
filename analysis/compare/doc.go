// Package compare tells whether a canary is worse than its primary, from values of both that were taken over the same windows. It is a pure
// leaf: numbers in, a finding in words out. Asking for the values, and what follows from a finding, are not its business.
//
// Ratio compares one value of each side. Rank compares one value of each side per window, over the windows of a rollout, and may be looked at after
// each of them: chance alone has it find a difference in at most Alpha of all rollouts, for values such as its docs demand.
package compare

// Direction says which of two values is the worse one.
type Direction int

// The directions.
const (
	HigherIsWorse Direction = iota
	LowerIsWorse
)

// Finding is what a comparison came to.
type Finding int

// The findings. Unjudged means that the values do not carry a judgement; the message says why.
const (
	Unjudged Finding = iota
	NotWorse
	Worse
)

// Outcome is a finding with its reason.
type Outcome struct {
	Finding Finding
	// Message says what was compared and against which limit.
	Message string
}
