package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

const headerForwardedFor = "X-Forwarded-For"

// proxies are those whose word is taken for who a client is. Anybody else could write the header to
// be somebody new with every request, and meet no limit.
type proxies []netip.Prefix

// parseProxies reports every one that is not a network or an address.
func parseProxies(texts []string) (trusted proxies, err error) {
	var faults []error
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if address, addressErr := netip.ParseAddr(text); err != nil && addressErr == nil {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("constructing API: trusted_proxies: %q must be a network such as 10.0.0.0/8, or an address", text))
			continue
		}
		trusted = append(trusted, network.Masked())
	}
	return trusted, errors.Join(faults...)
}

func (p proxies) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(address) })
}

// client returns where a request is from: the last address of the chain that no trusted proxy has. What
// stands before it was written by who knows whom.
func (p proxies) client(r *http.Request) string {
	if len(p) == 0 {
		return r.RemoteAddr
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.trusts(peer.Addr().Unmap()) {
		return r.RemoteAddr
	}
	found := peer.Addr()
	chain := strings.Split(strings.Join(r.Header.Values(headerForwardedFor), ","), ",")
	for _, hop := range slices.Backward(chain) {
		address, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		if found = address.Unmap(); !p.trusts(found) {
			break
		}
	}
	return net.JoinHostPort(found.String(), "0")
}
