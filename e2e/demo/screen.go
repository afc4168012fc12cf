package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// plainEvery is how often plain lines repeat a state that did not change.
const plainEvery = 10 * time.Second

// Screen shows progress: lines that stay, and below them a few that are redrawn
// in place. Where that is not possible, or not wanted, the redrawn lines become
// plain ones: at each change, and now and then. It is safe for concurrent use,
// and a writer of whole lines that stay.
type Screen struct {
	mu    sync.Mutex
	out   io.Writer
	now   func() time.Time
	width func() int // nil for plain lines
	begun time.Time
	// drawn is how many redrawn lines are on the screen.
	drawn int
	frame []string
	// shown and shownAt are the last state that plain lines told.
	shown   string
	shownAt time.Time
	rest    string
}

// NewScreen redraws lines on a terminal, and writes plain ones to anything else
// or where NO_COLOR, CI or TERM=dumb ask for it.
func NewScreen(out *os.File, getenv func(string) string, now func() time.Time) *Screen {
	s := &Screen{out: out, now: now, begun: now()}
	if getenv("NO_COLOR") != "" || getenv("CI") != "" || getenv("TERM") == "dumb" {
		return s
	}
	width := func() int {
		size, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0
		}
		return int(size.Col)
	}
	if width() > 0 {
		s.width = width
	}
	return s
}

// Write takes lines that stay; each is dated. Part of a line waits for its end.
func (s *Screen) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest += string(data)
	for {
		line, rest, found := strings.Cut(s.rest, "\n")
		if !found {
			return len(data), nil
		}
		s.rest = rest
		s.line(line)
	}
}

// Say writes one line that stays.
func (s *Screen) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line(fmt.Sprintf(format, args...))
}

func (s *Screen) line(text string) {
	s.erase()
	elapsed := s.now().Sub(s.begun).Round(time.Second)
	fmt.Fprintf(s.out, "%02d:%02d  %s\n", int(elapsed.Minutes()), int(elapsed.Seconds())%60, text)
	s.draw()
}

// Show replaces the redrawn lines. state is what matters of them: plain lines
// appear when it changes.
func (s *Screen) Show(state string, lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.width != nil {
		s.erase()
		s.frame = lines
		s.draw()
		return
	}
	if now := s.now(); state != s.shown || now.Sub(s.shownAt) >= plainEvery {
		s.shown, s.shownAt = state, now
		for _, line := range lines {
			s.line(line)
		}
	}
}

// Clear takes the redrawn lines away.
func (s *Screen) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.frame, s.shown = nil, ""
}

func (s *Screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}

// draw cuts lines to the width: one that wraps could not be erased.
func (s *Screen) draw() {
	if s.width == nil || len(s.frame) == 0 {
		return
	}
	width := s.width()
	for _, line := range s.frame {
		if runes := []rune(line); width > 0 && len(runes) >= width {
			line = string(runes[:width-1])
		}
		fmt.Fprintln(s.out, line)
	}
	s.drawn = len(s.frame)
}
