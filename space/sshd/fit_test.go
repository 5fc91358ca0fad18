package sshd

import "testing"

// What a server may have open at a time is no more than the descriptors that it was given,
// and what is configured is not raised.
func TestFit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{16, 128, 512, 8192, 1 << 20} {
		o := Options{Descriptors: n, MaximumConnections: 300}.withDefaults()
		if all := o.MaximumUnauthenticated*(1+waitingPerActive) + o.MaximumConnections + o.MaximumOpenFilesInAll; all > n {
			t.Errorf("%d of %d: %+v", all, n, o)
		}
		if o.MaximumUnauthenticated < 1 || o.MaximumUnauthenticatedPerAddress < 1 || o.MaximumConnections < 1 || o.MaximumConnections > 300 || o.MaximumOpenFilesInAll < 1 {
			t.Errorf("%d: %+v", n, o)
		}
	}
	if o := (Options{}).withDefaults(); o.MaximumUnauthenticated != 256 || o.MaximumConnections != 500 || o.MaximumOpenFilesInAll != 4096 {
		t.Errorf("%+v", o)
	}
}
