package loadtester

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// splitWords splits a command line into words like a shell, with quotes and backslashes, and does nothing else that a shell does:
// an unquoted operator, a variable or a command substitution is an error.
func splitWords(line string) ([]string, error) {
	s := splitter{rest: []rune(strings.TrimSpace(line))}
	for len(s.rest) > 0 {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.endWord()
	return s.words, nil
}

type splitter struct {
	rest   []rune
	words  []string
	word   strings.Builder
	inWord bool // also true for an empty quoted word
}

func (s *splitter) next() rune {
	r := s.rest[0]
	s.rest = s.rest[1:]
	return r
}

func (s *splitter) add(r rune) {
	s.inWord = true
	s.word.WriteRune(r)
}

func (s *splitter) endWord() {
	if s.inWord {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.inWord = false
}

// step takes one character, or one quoted stretch.
func (s *splitter) step() error {
	switch r := s.next(); {
	case r == '\n':
		return errors.New("a command is one line: end a line that goes on with a backslash, and use one webhook per command")
	case unicode.IsSpace(r):
		s.endWord()
	case r == '\\':
		return s.escaped()
	case r == '\'':
		return s.singleQuoted()
	case r == '"':
		return s.doubleQuoted()
	case strings.ContainsRune(";&|<>()`", r):
		return fmt.Errorf("%q is for a shell, and there is none: use one webhook per command, and quote URLs and values that contain it", string(r))
	case r == '$':
		return noVariables()
	case r == '#' && !s.inWord:
		return errors.New("comments are not supported in commands")
	default:
		s.add(r)
	}
	return nil
}

// escaped takes the character after a backslash as it is; a backslash before the end of a line joins it to the next one.
func (s *splitter) escaped() error {
	if len(s.rest) == 0 {
		return errors.New("the command ends with a backslash")
	}
	if r := s.next(); r != '\n' {
		s.add(r)
	}
	return nil
}

func (s *splitter) singleQuoted() error {
	s.inWord = true
	for len(s.rest) > 0 {
		r := s.next()
		if r == '\'' {
			return nil
		}
		s.add(r)
	}
	return errors.New("a single quote is not closed")
}

// doubleQuoted knows the backslash before the characters that would mean something inside.
func (s *splitter) doubleQuoted() error {
	s.inWord = true
	for len(s.rest) > 0 {
		switch r := s.next(); {
		case r == '"':
			return nil
		case r == '$', r == '`':
			return noVariables()
		case r == '\\' && len(s.rest) > 0 && strings.ContainsRune("\"\\$`\n", s.rest[0]):
			if r = s.next(); r != '\n' {
				s.add(r)
			}
		default:
			s.add(r)
		}
	}
	return errors.New("a double quote is not closed")
}

func noVariables() error {
	return errors.New("variables and command substitution are for a shell, and there is none: write the value itself, or put it in single quotes")
}
