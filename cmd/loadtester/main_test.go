package main

import (
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
)

func TestFlags(t *testing.T) {
	o, err := parseFlags(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.port != 9090 || o.config.Timeout != time.Hour || o.config.NamespaceRegexp != "" || o.logLevel != "info" || o.logEncoding != "json" {
		t.Errorf("defaults %+v", o)
	}
	o, err = parseFlags(strings.Fields("-port=8080 -timeout 10m -namespace-regexp test -log-level debug -max-tasks 3 -max-queue=4 -zap-encoding=console -zap-replace-globals"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.port != 8080 || o.config.Timeout != 10*time.Minute || o.config.NamespaceRegexp != "test" || o.logLevel != "debug" ||
		o.config.MaxTasks != 3 || o.config.MaxQueue != 4 || o.logEncoding != "console" || !o.replace {
		t.Errorf("flags %+v", o)
	}
}

func TestHelp(t *testing.T) {
	for _, arg := range []string{"-h", "--help"} {
		var out strings.Builder
		if err := run([]string{arg}, &out); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s: %v", arg, err)
		}
		for _, want := range []string{"Usage: loadtester", "hey -z 1m", "-namespace-regexp", "-max-tasks", "-programs-file"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s does not mention %q", arg, want)
			}
		}
	}
}

func TestBadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-prot 1":                     "not defined: -prot",
		"serve":                       `unexpected argument "serve"`,
		"-log-level loud":             `log-level "loud" is unknown`,
		"-zap-encoding xml":           `zap-encoding "xml" is unknown`,
		"-port 99999":                 "listen on port 99999",
		"-namespace-regexp=( -port 0": "namespace-regexp",
	} {
		var out strings.Builder
		err := run(strings.Fields(args), &out)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to mention %q", args, err, want)
		}
		if out.Len() != 0 {
			t.Errorf("%s: wrote %q", args, out.String())
		}
	}
}
