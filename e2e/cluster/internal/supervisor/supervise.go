package supervisor

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/cgroup"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	"golang.org/x/sys/unix"
)

//go:embed coredns.yaml
var coreDNS string

const (
	startTimeout = 3 * time.Minute
	stopTimeout  = 15 * time.Second
)

// Spec is what the starting command has prepared.
type Spec struct {
	// KubernetesDir and ContainerdDir hold the binaries.
	KubernetesDir string `json:"kubernetesDir"`
	ContainerdDir string `json:"containerdDir"`
	// Runc is the path of the container runtime.
	Runc string `json:"runc"`
	// Snapshotter is containerd's: "overlayfs" or, where that cannot be
	// mounted, "native".
	Snapshotter string `json:"snapshotter"`
	// PauseImage is the reference of the image that holds pods open; its
	// archive is among Images.
	PauseImage string `json:"pauseImage"`
	// Images are archives to load before anything is scheduled.
	Images []string `json:"images"`
}

// Save writes the spec into the state folder.
func (s Spec) Save(dir state.Dir) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the cluster's spec: %w", err)
	}
	return state.WriteFile(dir.Path("spec.json"), data)
}

// Load reads the spec back.
func Load(dir state.Dir) (Spec, error) {
	var s Spec
	data, err := os.ReadFile(dir.Path("spec.json"))
	if err != nil {
		return s, fmt.Errorf("read the cluster's spec: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("read the cluster's spec from %s: %w", dir.Path("spec.json"), err)
	}
	return s, nil
}

// supervisor is one running cluster, seen from the host.
type supervisor struct {
	dir   state.Dir
	spec  Spec
	log   io.Writer
	start time.Time
	node  *exec.Cmd
	// ended closes when the node's first process has ended.
	ended chan struct{}
}

// Run starts the cluster and keeps it until ctx ends, the parent's pipe
// reports its end, or the node ends. parent may be nil: then nobody's end
// matters. Whatever the reason, nothing is left but the state folder, and not
// even that if the parent ended: nobody would come to remove it.
func Run(ctx context.Context, dir state.Dir, parent io.Reader, log io.Writer) error {
	// The kernel ends the node when the thread that started it ends, so this
	// one must last.
	runtime.LockOSThread()
	s := &supervisor{dir: dir, log: log, start: time.Now(), ended: make(chan struct{})}
	if err := dir.SaveProcess("supervisor", os.Getpid()); err != nil {
		return err
	}
	orphaned := watch(parent)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-orphaned:
			cancel(fmt.Errorf("the process that the cluster was started for has ended"))
		case <-s.ended:
			cancel(fmt.Errorf("the node has ended; see the logs in %s", dir.Logs()))
		case <-ctx.Done():
		}
	}()
	err := s.up(ctx)
	if err == nil {
		if err = dir.SetReady(); err == nil {
			s.say("the cluster is ready")
			<-ctx.Done()
			s.say("stopping: %v", context.Cause(ctx))
		}
	} else {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		s.say("start failed: %v", err)
		_ = dir.SetFailed(err.Error())
	}
	stopErr := s.down()
	select {
	case <-orphaned:
		return os.RemoveAll(dir.Root)
	default:
	}
	if err == nil {
		err = stopErr
	}
	return err
}

// watch returns a channel that closes when the other end of the parent's pipe
// is closed, which the kernel does when the parent ends in any way.
func watch(parent io.Reader) <-chan struct{} {
	orphaned := make(chan struct{})
	if parent != nil {
		go func() {
			_, _ = io.Copy(io.Discard, parent)
			close(orphaned)
		}()
	}
	return orphaned
}

func (s *supervisor) say(format string, args ...any) {
	fmt.Fprintf(s.log, "cluster %s: %5.1fs %s\n", s.dir.Name, time.Since(s.start).Seconds(), fmt.Sprintf(format, args...))
}

// up does everything until the cluster works.
func (s *supervisor) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	spec, err := Load(s.dir)
	if err != nil {
		return err
	}
	s.spec = spec
	// A cluster that is started again goes on with its keys, as its objects
	// and whoever holds its kubeconfig expect.
	if _, err := os.Stat(s.dir.Data()); errors.Is(err, fs.ErrNotExist) {
		if err := issueKeys(s.dir, s.start); err != nil {
			return err
		}
	}
	if err := writeConfig(s.dir, spec); err != nil {
		return err
	}
	if err := cgroup.Create(s.dir.Cgroup()); err != nil {
		return err
	}
	if err := s.startNode(ctx); err != nil {
		return err
	}
	return s.settle(ctx)
}

// address is where the API server was on the host before, or any free port.
func (s *supervisor) address() string {
	if before, err := os.ReadFile(s.dir.Address()); err == nil {
		return string(before)
	}
	return "127.0.0.1:0"
}

// portPatience is how long a port that was the cluster's before may be taken when it starts again.
const portPatience = 30 * time.Second

// listen opens a port, and waits for one that is taken: a client that asks for the API server meanwhile may be given this very port as its own, until its
// attempt has failed.
func listen(ctx context.Context, address string) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, portPatience)
	defer cancel()
	for {
		var listening net.ListenConfig
		listener, err := listening.Listen(ctx, "tcp", address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return listener, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// startNode opens the API server's port on the host and starts the node in
// namespaces of its own.
func (s *supervisor) startNode(ctx context.Context) error {
	listener, err := listen(ctx, s.address())
	if err != nil {
		return fmt.Errorf("open a local port for the API server: %w", err)
	}
	defer listener.Close()
	if err := state.WriteFile(s.dir.Address(), []byte(listener.Addr().String())); err != nil {
		return err
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return fmt.Errorf("hand over the API server's port: %w", err)
	}
	defer func() { _ = file.Close() }()
	config, err := kubeconfig(s.dir, "admin", "https://"+listener.Addr().String())
	if err != nil {
		return err
	}
	if err := state.WriteFile(s.dir.Kubeconfig(), config); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := os.MkdirAll(s.dir.Logs(), 0o755); err != nil {
		return fmt.Errorf("make the folder of logs: %w", err)
	}
	// The start's time limit does not apply to the node's life.
	s.node = exec.CommandContext(context.WithoutCancel(ctx), self, "node", "--name", s.dir.Name)
	s.node.Stdout, s.node.Stderr = s.log, s.log
	s.node.ExtraFiles = []*os.File{file}
	s.node.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := s.node.Start(); err != nil {
		return fmt.Errorf("start the node in its namespaces (is this root with all capabilities?): %w", err)
	}
	go func() {
		_ = s.node.Wait()
		close(s.ended)
	}()
	return s.dir.SaveProcess("node", s.node.Process.Pid)
}

// down ends the node, with which the kernel ends everything in its
// namespaces, and removes the control groups.
func (s *supervisor) down() error {
	if s.node != nil && s.node.Process != nil {
		_ = s.node.Process.Kill()
		select {
		case <-s.ended:
		case <-time.After(stopTimeout):
			return fmt.Errorf("the node (process %d) did not end within %s", s.node.Process.Pid, stopTimeout)
		}
	}
	return cgroup.Remove(s.dir.Cgroup(), stopTimeout)
}

// run runs a tool of the host's side and returns its output with the error.
func (s *supervisor) run(ctx context.Context, stdin string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.dir.Kubeconfig())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(argv[0]), err, strings.TrimSpace(string(out)))
	}
	return nil
}
