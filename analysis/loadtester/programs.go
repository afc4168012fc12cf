package loadtester

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programTypes are the types of tasks that run a program, with the program that comes before metadata.cmd; a task of type bash names its own,
// and no shell is asked.
var programTypes = map[string]string{"bash": "", "bats": "bats", "helm": "helm", "helmv3": "helm", "kubectl": "kubectl"}

func programTypeNames() []string { return slices.Sorted(maps.Keys(programTypes)) }

// shells carry out any text, so that naming one would allow everything.
var shells = []string{"sh", "ash", "bash", "busybox", "csh", "dash", "env", "fish", "ksh", "mksh", "tcsh", "xargs", "zsh"}

// Words of an allowed command that stand for others.
const (
	anyWord       = "*"           // one word that is no option
	nameWord      = "{name}"      // the Canary's name
	namespaceWord = "{namespace}" // the Canary's namespace
)

// Programs are the commands that tasks may run; nil allows none.
type Programs []allowed

// allowed is one command: where its program is, and how its words have to read.
type allowed struct {
	path  string
	words []string
}

// ParsePrograms reads a file of allowed commands, one a line, in words as in a task. A word * stands for any one word that does not begin
// with "-", {name} and {namespace} for those of the Canary; all others are meant as they are. Empty lines and those that begin with # are left out.
// Each program has to exist, and none may be a shell.
func ParsePrograms(text string) (Programs, error) {
	var programs Programs
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words, err := splitWords(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if slices.Contains(shells, filepath.Base(words[0])) {
			return nil, fmt.Errorf("line %d: %s would carry out any text: name a program or a script of its own, with #! as its first line", i+1, words[0])
		}
		path, err := exec.LookPath(words[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: there is no such program: %w: build an image that has it", i+1, err)
		}
		programs = append(programs, allowed{path: path, words: words})
	}
	if len(programs) == 0 {
		return nil, errors.New("there is no line with a command")
	}
	return programs, nil
}

// find reads a task that runs a program, if it is allowed.
func (p Programs) find(kind string, asked payload) (*program, error) {
	if len(p) == 0 {
		return nil, refuse(http.StatusBadRequest, "metadata.type %q is not supported here, because it runs programs and none are allowed: "+
			"use type http for a check of an answer, or start the load tester with --programs-file, an image that has the program, and a line for this command", kind)
	}
	command := strings.TrimSpace(asked.Metadata["cmd"])
	if command == "" {
		return nil, refuse(http.StatusBadRequest, "metadata.cmd is missing: set it to a command that --programs-file allows")
	}
	words, err := splitWords(command)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "metadata.cmd: %w", err)
	}
	if before := programTypes[kind]; before != "" {
		words = slices.Insert(words, 0, before)
	}
	returned, err := optionalBool(asked.Metadata, "returnCmdOutput")
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%w", err)
	}
	for _, a := range p {
		if a.allows(words, asked) {
			return &program{path: a.path, words: words, returned: returned}, nil
		}
	}
	return nil, refuse(http.StatusForbidden, "the command %q is not allowed here: it reads as no line of --programs-file does", words[0])
}

func (a allowed) allows(words []string, asked payload) bool {
	return slices.EqualFunc(a.words, words, func(pattern, word string) bool {
		switch pattern {
		case anyWord:
			return word != "" && !strings.HasPrefix(word, "-")
		case nameWord:
			return word == asked.Name
		case namespaceWord:
			return word == asked.Namespace
		default:
			return word == pattern
		}
	})
}
