// The DHCP servers that virt-launcher runs for a masquerade NIC, by KubeVirt's own code: one for IPv4 and
// one for IPv6, in the network namespace that this is started in, until it is ended.
//
//	kubevirt-dhcp BRIDGE MAC IPV4 GATEWAY4 IPV6
package main

import (
	"fmt"
	"net"
	"os"

	"kubevirt.io/kubevirt/pkg/network/dhcp/server"
	"kubevirt.io/kubevirt/pkg/network/dhcp/serverv6"
)

func main() {
	if len(os.Args) != 6 {
		fail("Cannot start: %d arguments, expected BRIDGE MAC IPV4 GATEWAY4 IPV6", len(os.Args)-1)
	}
	bridge, gateway, ipv6 := os.Args[1], net.ParseIP(os.Args[4]), net.ParseIP(os.Args[5])
	mac, err := net.ParseMAC(os.Args[2])
	if err != nil {
		fail("Cannot read the MAC: %v", err)
	}
	ipv4, network, err := net.ParseCIDR(os.Args[3])
	if err != nil {
		fail("Cannot read the address: %v", err)
	}
	ended := make(chan error)
	// As pkg/network/dhcp/configurator.go calls them, for what masquerade.go makes.
	go func() {
		ended <- server.SingleClientDHCPServer(
			mac, ipv4, network.Mask, bridge, gateway, gateway, nil, nil, nil, 1400, nil)
	}()
	go func() { ended <- serverv6.SingleClientDHCPv6Server(ipv6, bridge, nil) }()
	fail("A server ended: %v", <-ended)
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
