// Package inside opens connections within a cluster's network namespace from
// without, through the unix socket that the node serves: sockets with a path
// are not bound to a network namespace.
package inside

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

const maxAnswer = 4096

// Dial connects to an address as a process on the node would: network is
// "tcp" or "udp"; the host may be an address, or the name of a service as
// "svc.namespace", "svc.namespace.svc" or in full.
func Dial(ctx context.Context, socket, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("reach into the cluster: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = request(conn, network, address)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("dial %s in the cluster: %w", address, err)
	}
	return conn, nil
}

// request asks for the connection and reads the one line that answers.
func request(conn net.Conn, network, address string) error {
	if _, err := fmt.Fprintf(conn, "%s %s\n", network, address); err != nil {
		return err
	}
	var answer []byte
	one := make([]byte, 1)
	for len(answer) < maxAnswer {
		if _, err := io.ReadFull(conn, one); err != nil {
			return err
		}
		if one[0] == '\n' {
			break
		}
		answer = append(answer, one[0])
	}
	if text := string(answer); text != "ok" {
		return fmt.Errorf("%s", text)
	}
	return nil
}
