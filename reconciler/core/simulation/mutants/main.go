// Command mutants breaks each promise of the core on purpose, one way at a time, and reports the first random schedule of the simulation that notices.
// A mutant that survives is a defect of the simulation: strengthen it.
//
// Sources are replaced for the compiler only (go test -overlay); nothing is written into the working tree.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	// core is where the mutants live, simulation what hunts them; both from the root of the module.
	core       = "reconciler/core"
	simulation = "./reconciler/core/simulation"
	// patience bounds what is done about one mutant.
	patience = 20 * time.Minute
)

func main() {
	schedules := flag.Int("schedules", 20000, "schedules of each strategy to hunt a mutant with, at most")
	match := flag.String("run", "", "hunt only mutants whose promise and name match this regular expression")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *schedules, *match); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// run hunts the mutants and writes a table of what became of them. It fails if one survives.
func run(ctx context.Context, out io.Writer, schedules int, match string) error {
	chosen, err := regexp.Compile(match)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "| promise | what is broken | in | found by | noticed as | schedules |\n|---|---|---|---|---|---|")
	var survivors []string
	var broken []error
	for _, m := range table() {
		if !chosen.MatchString(m.promise + " " + m.name) {
			continue
		}
		found, err := hunt(ctx, root, m, schedules)
		if err != nil {
			broken = append(broken, fmt.Errorf("%s: %w", m.name, err))
			continue
		}
		if found == nil {
			survivors = append(survivors, m.name)
			found = &kill{where: "**survives**"}
		}
		fmt.Fprintf(out, "| %s | %s | %s | `%s` | %s | %s |\n", m.promise, m.name, m.file, found.where, found.promise, found.schedules)
	}
	if len(survivors) > 0 {
		broken = append(broken, fmt.Errorf("%d survive %d schedules of each strategy: %s", len(survivors), schedules, strings.Join(survivors, "; ")))
	}
	return errors.Join(broken...)
}

func moduleRoot(ctx context.Context) (string, error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(mod))), nil
}

// mutate returns the file with the mutant's text replaced.
func mutate(root string, m mutant) (path string, source []byte, err error) {
	path = filepath.Join(root, core, m.file)
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	if n := bytes.Count(raw, []byte(m.text)); n != 1 {
		return "", nil, fmt.Errorf("%s holds the text %d times, it must be there once: %q", m.file, n, m.text)
	}
	return path, bytes.Replace(raw, []byte(m.text), []byte(m.instead), 1), nil
}

// kill is the schedule that noticed a mutant.
type kill struct{ where, promise, schedules string }

// noticed is what the simulation prints about the first violation; crashed is what a panic prints.
var (
	noticed = regexp.MustCompile(`hunted: (-strategy=\S+ -seed=\d+) broke (\S+) after (\d+) schedules`)
	crashed = regexp.MustCompile(`(?m)^panic: `)
)

// hunt builds the simulation against the mutant and plays schedules until one breaks a promise; nil when none does.
func hunt(ctx context.Context, root string, m mutant, schedules int) (by *kill, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, source, err := mutate(root, m)
	if err != nil {
		return nil, err
	}
	binary, err := build(ctx, root, dir, path, source)
	if err != nil {
		return nil, err
	}
	test := exec.CommandContext(ctx, binary, "-test.run=^TestSchedules$", "-hunt", fmt.Sprintf("-schedules=%d", schedules))
	test.Dir = dir
	printed, err := test.CombinedOutput()
	var exit *exec.ExitError
	switch found := noticed.FindSubmatch(printed); {
	case err == nil:
		return nil, nil
	case found != nil:
		return &kill{string(found[1]), string(found[2]), string(found[3])}, nil
	case crashed.Match(printed):
		return &kill{"any", "panic", "few"}, nil
	case errors.As(err, &exit):
		return nil, fmt.Errorf("the simulation failed otherwise: %s", printed)
	default:
		return nil, err
	}
}

// build compiles the simulation with one source replaced.
func build(ctx context.Context, root, dir, path string, source []byte) (string, error) {
	replaced, overlay, binary := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "simulation.test")
	if err := os.WriteFile(replaced, source, 0o600); err != nil {
		return "", err
	}
	raw, err := json.Marshal(map[string]map[string]string{"Replace": {path: replaced}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, raw, 0o600); err != nil {
		return "", err
	}
	compile := exec.CommandContext(ctx, "go", "test", "-c", "-overlay="+overlay, "-o", binary, simulation)
	compile.Dir = root
	if printed, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not compile: %w\n%s", err, printed)
	}
	return binary, nil
}
