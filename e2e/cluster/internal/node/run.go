package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
)

// apiListener is the file descriptor of the API server's port on the host; it
// was opened there before the namespaces were made.
const apiListener = 3

// Run is the whole life of the process; it returns on SIGTERM or when the
// cluster cannot be set up. It must be the first process of new process,
// mount and network namespaces.
func Run(dir state.Dir, log io.Writer) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("this command is started by the supervisor in namespaces of its own, not by hand")
	}
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(log, "node: %5.1fs %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := setUpMounts(dir); err != nil {
		return err
	}
	if err := setUpNetwork(); err != nil {
		return err
	}
	components, err := LoadComponents(dir.Components())
	if err != nil {
		return err
	}
	api, err := net.FileListener(os.NewFile(apiListener, "api"))
	if err != nil {
		return fmt.Errorf("take over the API server's port: %w", err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	var listening net.ListenConfig
	dial, err := listening.Listen(ctx, "unix", dir.Dialer())
	if err != nil {
		return fmt.Errorf("listen for connections into the cluster: %w", err)
	}
	go forward(ctx, api, net.JoinHostPort("127.0.0.1", strconv.Itoa(state.APIPort)))
	go serveDialer(ctx, dial)
	reaper := newReaper()
	go reaper.collect()
	for _, c := range components {
		go reaper.keep(ctx, c, dir, say)
	}
	<-ctx.Done()
	return nil
}
