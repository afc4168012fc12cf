package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// screenOf writes to a buffer by a clock that the test moves; a width makes it
// redraw.
func screenOf(width int) (*Screen, *bytes.Buffer, *time.Time) {
	out, now := &bytes.Buffer{}, start
	s := &Screen{out: out, now: func() time.Time { return now }, begun: start}
	if width > 0 {
		s.width = func() int { return width }
	}
	return s, out, &now
}

func TestPlainScreenTellsChangesAndRepeatsNowAndThen(t *testing.T) {
	s, out, now := screenOf(0)
	s.Show("a", "one")
	s.Show("a", "two")
	*now = now.Add(time.Second)
	s.Show("b", "three")
	*now = now.Add(plainEvery)
	s.Show("b", "four")
	want := "00:00  one\n00:01  three\n00:11  four\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("plain lines hold escape sequences")
	}
}

func TestScreenRedrawsBelowWhatStays(t *testing.T) {
	s, out, _ := screenOf(10)
	s.Show("a", "first", "a line that is too long")
	s.Say("stays")
	s.Clear()
	want := "first\na line th\n" + // the frame, cut to the width
		"\x1b[2A\x1b[J" + "00:00  stays\n" + "first\na line th\n" +
		"\x1b[2A\x1b[J"
	if out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestScreenTakesProgressByLines(t *testing.T) {
	s, out, _ := screenOf(0)
	for _, part := range []string{"tools: buil", "ding\nmore", "\n"} {
		if n, err := s.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d bytes: %v", n, err)
		}
	}
	if want := "00:00  tools: building\n00:00  more\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}
