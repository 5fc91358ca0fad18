package authdelay

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelaysGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := New()
		one, other := PrefixOf(netip.MustParseAddr("192.0.2.1")), PrefixOf(netip.MustParseAddr("192.0.2.2"))
		ms := time.Millisecond
		for i, want := range []time.Duration{0, 0, 0, 250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 4000 * ms} {
			if got := f.Add(one); got != want {
				t.Errorf("failure %d: %v, want %v", i+1, got, want)
			}
		}
		if !f.AtMaxDelay(one) || f.AtMaxDelay(other) {
			t.Error("Slowed is wrong")
		}
		if got := f.Add(other); got != 0 {
			t.Errorf("another address waits %v", got)
		}
		time.Sleep(3 * forgetInterval)
		if got := f.Add(one); got != 1000*ms { // 8, less 3, and this one
			t.Errorf("after a while: %v", got)
		}
		time.Sleep(time.Hour)
		if got := f.Add(one); got != 0 {
			t.Errorf("after an hour: %v", got)
		}
	})
}

func TestDelaysAreBounded(t *testing.T) {
	t.Parallel()
	f := New()
	first := netip.MustParseAddr("2001:db8::1")
	for range maxFailures {
		f.Add(PrefixOf(first))
	}
	last := first
	for i := range 3 * maxPrefixes {
		b := last.As16()
		b[4], b[5] = byte(i>>8), byte(i)
		last = netip.AddrFrom16(b)
		f.Add(PrefixOf(last))
	}
	if len(f.byPrefix) != maxPrefixes || f.recent.Len() != maxPrefixes {
		t.Errorf("%d and %d are remembered, want %d", len(f.byPrefix), f.recent.Len(), maxPrefixes)
	}
	if f.AtMaxDelay(PrefixOf(first)) {
		t.Error("the oldest is not forgotten")
	}
}

func TestSourceOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := PrefixOf(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
