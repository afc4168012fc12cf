package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// controllerArgs is where Linux tells the command line of a container's first process.
const controllerArgs = "/proc/1/cmdline"

// inherit sets the flags that were not given to those of the controller in the same container, so that
// "kubectl exec deploy/sluice -- sluice exit" works with the settings in force. Outside of such a container it does nothing.
func inherit(flags *flag.FlagSet, read func(string) ([]byte, error)) error {
	raw, err := read(controllerArgs)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the controller's flags: %w", err)
	}
	args := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
	if path.Base(args[0]) != "sluice" {
		return nil
	}
	cmd, args, err := choose(args[1:])
	if cmd.name != "controller" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the command of the running controller: %w", err)
	}
	running := flag.NewFlagSet("running controller", flag.ContinueOnError)
	running.SetOutput(io.Discard)
	(&controllerOptions{}).bind(running)
	if err := running.Parse(args); err != nil {
		return fmt.Errorf("reading the flags of the running controller: %w", err)
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var errs []error
	running.Visit(func(f *flag.Flag) {
		if given[f.Name] || flags.Lookup(f.Name) == nil {
			return
		}
		if err := flags.Set(f.Name, f.Value.String()); err != nil {
			errs = append(errs, fmt.Errorf("taking over -%s=%s: %w", f.Name, f.Value, err))
		}
	})
	return errors.Join(errs...)
}
