package node

import (
	"fmt"
	"net"
	"os"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
	"github.com/vishvananda/netlink"
)

const nodeLink = "node0"

// networkSettings belong to the network namespace, not to the machine.
var networkSettings = map[string]string{
	"/proc/sys/net/ipv4/ip_forward":             "1",
	"/proc/sys/net/ipv4/conf/all/rp_filter":     "0",
	"/proc/sys/net/ipv4/conf/default/rp_filter": "0",
}

// setUpNetwork gives the empty network namespace a loopback, a link with the
// node's address and a route for everything else. The route leads nowhere:
// it is there so that the kernel accepts packets to service addresses, which
// kube-proxy's rules then send to pods.
func setUpNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback link: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set the loopback link up: %w", err)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = nodeLink
	link := &netlink.Bridge{LinkAttrs: attributes}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add the node's link (does the kernel have bridges?): %w", err)
	}
	address, err := netlink.ParseAddr(state.NodeNetwork)
	if err != nil {
		return fmt.Errorf("node address: %w", err)
	}
	if err := netlink.AddrAdd(link, address); err != nil {
		return fmt.Errorf("give the node its address %s: %w", state.NodeNetwork, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set the node's link up: %w", err)
	}
	everything := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: everything}); err != nil {
		return fmt.Errorf("add the default route: %w", err)
	}
	for path, value := range networkSettings {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("network setting: %w", err)
		}
	}
	return nil
}
