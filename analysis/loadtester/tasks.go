package loadtester

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// doTask does what metadata asks for, by its type: load runs beside the call, checks and programs answer it.
func (s *server) doTask(w http.ResponseWriter, r *http.Request, p payload) error {
	if len(p.Metadata) == 0 {
		return refuse(http.StatusBadRequest, "the payload has no metadata: set metadata.cmd to a hey command")
	}
	kind := cmp.Or(p.Metadata["type"], loadType)
	switch kind {
	case loadType:
		return s.startLoad(w, p)
	case httpType:
		check, err := parseHTTPCheck(p.Metadata)
		if err != nil {
			return refuse(http.StatusBadRequest, "%w", err)
		}
		return s.answerWith(w, r, p, kind, check)
	}
	if _, runs := programTypes[kind]; runs {
		run, err := s.programs.find(kind, p)
		if err != nil {
			return err
		}
		return s.answerWith(w, r, p, kind, run)
	}
	if instead, known := delegatedTypes[kind]; known {
		return refuse(http.StatusBadRequest, "metadata.type %q is not supported, because it delegates to a server that has to be asked again and again: %s", kind, instead)
	}
	return refuse(http.StatusBadRequest, "metadata.type %q is unknown: use cmd for load, http for a check of an answer, or one of %s for programs that are allowed here",
		kind, strings.Join(programTypeNames(), ", "))
}

// Types of tasks besides those that run programs.
const (
	loadType = "cmd"
	httpType = "http"
)

// delegatedTypes are those of Flagger's load tester that another server carries out, with what to do instead.
var delegatedTypes = map[string]string{
	"ngrinder": "send the load from here, with type cmd and a hey command, or let the hook call a service of your own that runs the nGrinder test " +
		"and answers 200 when it has passed",
	"concord": "let the hook call a service of your own that starts the Concord process and answers 200 when it has finished, " +
		"or leave this one hook to Flagger's load tester",
}

// startLoad takes a load into the queue.
func (s *server) startLoad(w http.ResponseWriter, p payload) error {
	command := strings.TrimSpace(p.Metadata["cmd"])
	if command == "" {
		return refuse(http.StatusBadRequest, "metadata.cmd is missing: set it to a hey command, such as hey -z 1m -q 10 -c 2 http://app-canary.test/")
	}
	load, err := ParseCommand(command)
	if err != nil {
		return refuse(http.StatusBadRequest, "metadata.cmd: %w", err)
	}
	logged, err := optionalBool(p.Metadata, "logCmdOutput")
	if err != nil {
		return refuse(http.StatusBadRequest, "%w", err)
	}
	switch err := s.queue.add(task{canary: p.canary(), command: command, load: load, logged: logged}); {
	case errors.Is(err, errFull):
		return refuse(http.StatusTooManyRequests, "%w", err)
	case err != nil:
		return refuse(http.StatusServiceUnavailable, "%w", err)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func optionalBool(metadata map[string]string, key string) (bool, error) {
	text := metadata[key]
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("metadata.%s: %q is neither true nor false", key, text)
	}
	return value, nil
}
