package simulation

// purpose keeps the sources of chance apart, so that leaving an action out of a schedule changes as little as possible of the rest.
type purpose int

const (
	diceActions purpose = iota
	diceSetting
	diceLag
	dicePods
	diceRoute
	diceAnswers
	diceConfig
	purposes
)

// dice gives the same numbers for the same seed. It is no good source of chance for anything else.
type dice struct {
	seed  uint64
	count [purposes]uint64
}

func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
	x = (x ^ (x >> 27)) * 0x94D049BB133111EB
	return x ^ (x >> 31)
}

// roll returns a number from 0 to n-1.
func (d *dice) roll(p purpose, n int) int {
	d.count[p]++
	return int(mix(mix(d.seed+uint64(p)<<56)+d.count[p]) % uint64(n))
}

// hashed returns a number from 0 to n-1 that depends on the text only.
func (d *dice) hashed(text string, n int) int {
	h := mix(d.seed)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 0x100000001B3
	}
	return int(mix(h) % uint64(n))
}
