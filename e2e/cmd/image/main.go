// Command image makes a container image of one Go program, without Docker; see
// package image. The archive it writes is read by "cluster load-image",
// "docker load" and "ctr images import".
//
//	image --reference ghcr.io/sluice-dev/sluice:v0.1.0 --dir .. --package ./cmd/sluice --output sluice.tar
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"syscall"

	"github.com/sluice-dev/sluice/e2e/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	reference := flags.String("reference", "", "name:tag of the image (required)")
	dir := flags.String("dir", ".", "folder of the Go module")
	pkg := flags.String("package", "", "main package to build, such as ./cmd/sluice")
	binary := flags.String("binary", "", "static binary to use instead of building a package")
	linkerFlags := flags.String("ldflags", "", "further linker flags, such as '-X main.version=v0.1.0'")
	version := flags.String("version", "", "value of the label org.opencontainers.image.version")
	output := flags.String("output", "", "archive to write (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *reference == "":
		return fmt.Errorf("--reference is missing: the image's name:tag")
	case *output == "":
		return fmt.Errorf("--output is missing: the archive to write")
	case (*pkg == "") == (*binary == ""):
		return fmt.Errorf("give either --package, to build one, or --binary")
	}
	program := *binary
	if *pkg != "" {
		temp, err := os.MkdirTemp("", "image-")
		if err != nil {
			return fmt.Errorf("folder for the binary: %w", err)
		}
		defer func() { _ = os.RemoveAll(temp) }()
		program = filepath.Join(temp, path.Base(*pkg))
		if err := image.Compile(ctx, *dir, *pkg, program, *linkerFlags); err != nil {
			return err
		}
	}
	spec := image.Spec{Reference: *reference, Binary: program, Certificates: true}
	if *version != "" {
		spec.Labels = map[string]string{"org.opencontainers.image.version": *version}
	}
	digest, err := image.Write(spec, *output)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s %s %s\n", *reference, digest, *output)
	return err
}
