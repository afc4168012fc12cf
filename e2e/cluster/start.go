package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/node"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/supervisor"
	"github.com/sluice-dev/sluice/e2e/image"
	"github.com/sluice-dev/sluice/e2e/tools"
	"golang.org/x/sys/unix"
)

const startPoll = 50 * time.Millisecond

// Options for Start.
type Options struct {
	// Name of the cluster: 1 to 32 of a-z, 0-9 and "-"; empty means $CLUSTER
	// or "sluice".
	Name string
	// Log receives progress, one line at a time; nil discards it.
	Log io.Writer
	// EndWithParent takes the cluster down when this process ends, however it
	// ends. A cluster that is already running is not affected.
	EndWithParent bool
}

// Start makes sure that the cluster runs and works: it builds what is missing
// in the cache, removes what a crash may have left, starts the cluster, and
// waits until the node is ready and cluster DNS answers. If the cluster runs
// already, that is all. The first start builds for about ten minutes on two
// cores, later ones take seconds. If ctx ends before, what was started is
// taken down again.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Name == "" {
		o.Name = Name()
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if path := os.Getenv(EnvKubeconfig); path != "" {
		return openExternal(ctx, path, o.Log)
	}
	dir, err := state.Of(o.Name)
	if err != nil {
		return nil, err
	}
	unlock, err := lockCluster(ctx, dir, o.Log)
	if err != nil {
		return nil, err
	}
	defer unlock()
	running, err := Open(ctx, o.Name)
	if err == nil || !errors.Is(err, ErrNotRunning) {
		return running, err
	}
	spec, err := prepare(ctx, dir, o.Log)
	if err != nil {
		return nil, err
	}
	return launch(ctx, dir, spec, o)
}

func lockCluster(ctx context.Context, dir state.Dir, log io.Writer) (func(), error) {
	return tools.Lock(ctx, dir.LockFile(), func() {
		fmt.Fprintf(log, "cluster %s: another process is starting or stopping it, waiting\n", dir.Name)
	})
}

// prepare gets everything that a start needs into the cache.
func prepare(ctx context.Context, dir state.Dir, log io.Writer) (supervisor.Spec, error) {
	var spec supervisor.Spec
	if err := node.CheckPath(dir.Root); err != nil {
		return spec, err
	}
	host, err := prepareHost(ctx, log)
	if err != nil {
		return spec, err
	}
	dirs, err := tools.Build(ctx, log, "kubernetes", "containerd", "coredns")
	if err != nil {
		return spec, err
	}
	spec = supervisor.Spec{
		KubernetesDir: dirs["kubernetes"],
		ContainerdDir: dirs["containerd"],
		Runc:          host.runc,
		Snapshotter:   host.snapshotter,
		PauseImage:    pauseImage,
	}
	if err := remove(dir); err != nil {
		return spec, err
	}
	source, err := tools.SourceDir()
	if err != nil {
		return spec, err
	}
	fmt.Fprintf(log, "cluster %s: building its supervisor and images\n", dir.Name)
	if err := buildCommand(ctx, source, dir.Path("bin", "cluster")); err != nil {
		return spec, err
	}
	if err := image.Compile(ctx, source, "./cluster/pause", dir.Path("bin", "pause")); err != nil {
		return spec, err
	}
	for reference, binary := range map[string]string{
		pauseImage:   dir.Path("bin", "pause"),
		coreDNSImage: dirs["coredns"] + "/coredns",
	} {
		archive, err := cachedImage(reference, binary)
		if err != nil {
			return spec, err
		}
		spec.Images = append(spec.Images, archive)
	}
	return spec, nil
}

// buildCommand builds the program that the supervisor runs, for each cluster
// its own: a change of the checkout must not change a running cluster. It is
// built with the caller's settings, so that Go finds all packages in its cache.
func buildCommand(ctx context.Context, source, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", out, "./cmd/cluster")
	cmd.Dir = source
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the cluster's supervisor in %s: %w\n%s", source, err, bytes.TrimSpace(output))
	}
	return nil
}

// launch starts the supervisor apart from this process and follows its log
// until the cluster is ready.
func launch(ctx context.Context, dir state.Dir, spec supervisor.Spec, o Options) (*Cluster, error) {
	if err := spec.Save(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir.Logs(), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of logs: %w", err)
	}
	log, err := os.OpenFile(dir.Progress(), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of the supervisor: %w", err)
	}
	defer func() { _ = log.Close() }()
	// It outlives this call, and usually this process.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), dir.Path("bin", "cluster"), "supervise", "--name", dir.Name)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if o.EndWithParent {
		read, err := pipeToSupervisor()
		if err != nil {
			return nil, err
		}
		defer func() { _ = read.Close() }()
		cmd.Args = append(cmd.Args, "--end-with-parent")
		cmd.ExtraFiles = []*os.File{read}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := follow(ctx, dir, o.Log, ended); err != nil {
		_ = cmd.Process.Kill()
		return nil, errors.Join(err, failed(dir, o.Log))
	}
	c, err := Open(ctx, dir.Name)
	if err != nil {
		return nil, err
	}
	c.started, c.endWithParent = true, o.EndWithParent
	return c, nil
}

// pipeToSupervisor returns the end of a pipe whose other end stays open for as
// long as this process lives. That end is a bare descriptor: a file would be
// closed, and the cluster ended, once nobody refers to it any more.
func pipeToSupervisor() (*os.File, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe to the supervisor: %w", err)
	}
	return os.NewFile(uintptr(ends[0]), "parent"), nil
}

func failedLogs(dir state.Dir) string { return dir.Root + ".failed-logs" }

// failed keeps the logs of a start that failed and removes the rest.
func failed(dir state.Dir, log io.Writer) error {
	kept := failedLogs(dir)
	_ = os.RemoveAll(kept)
	if err := os.Rename(dir.Logs(), kept); err == nil {
		fmt.Fprintf(log, "cluster %s: the logs of the failed start are in %s\n", dir.Name, kept)
	}
	return remove(dir)
}

// follow copies the supervisor's log until the cluster is ready or it is clear
// that it will not be.
func follow(ctx context.Context, dir state.Dir, out io.Writer, ended <-chan error) error {
	log, err := os.Open(dir.Progress())
	if err != nil {
		return fmt.Errorf("follow the start: %w", err)
	}
	defer func() { _ = log.Close() }()
	copyLog := func() { _, _ = io.Copy(out, log) }
	defer copyLog()
	for {
		copyLog()
		if dir.Ready() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start cluster %s: %w", dir.Name, context.Cause(ctx))
		case err := <-ended:
			if reason, is := dir.Failed(); is {
				return fmt.Errorf("start cluster %s: %s", dir.Name, reason)
			}
			return fmt.Errorf("start cluster %s: the supervisor ended early (%w)%s", dir.Name, err, tail(dir.Progress()))
		case <-time.After(startPoll):
		}
	}
}

// tail returns the last bytes of a log for an error message.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	const most = 2000
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return "\n" + string(bytes.TrimSpace(data))
}
