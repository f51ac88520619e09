package api

import (
	"cmp"
	"fmt"
	"net"
)

// checkDemoUser enforces I7: a password that everybody knows is for this machine alone.
func (c Config) checkDemoUser() error {
	address := cmp.Or(c.Address, DefaultAddress)
	if !c.DemoUser || isLoopback(address) {
		return nil
	}
	return fmt.Errorf("constructing API: %s lets anybody in who reaches %s: listen on 127.0.0.1, or turn it off and add users with `shop-connect user add`", fieldDemoUser, address)
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
