package main

import (
	"context"
	"io"
	"os"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

// supervise is the host's side of a running cluster.
func supervise(ctx context.Context, in invocation) error {
	var parent io.Reader
	if endWithParent {
		parent = os.NewFile(cluster.ParentDescriptor, "parent")
	}
	return cluster.Supervise(ctx, in.name, parent, in.stderr)
}

// runNode is the first process in a cluster's namespaces.
func runNode(_ context.Context, in invocation) error {
	return cluster.RunNode(in.name, in.stderr)
}
