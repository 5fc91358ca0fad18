package main

import "testing"

func TestRoomFor(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][3]int{0: {512, 128, 0}, 64: {8, 4, 32}, 256: {32, 8, 128}, 1024: {128, 32, 512}, 1 << 20: {512, 128, 1 << 19}} {
		if r := roomFor(n); [3]int{r.api.All, r.api.Address, r.spaces} != want {
			t.Errorf("%d descriptors: %+v, want %v", n, r, want)
		}
	}
}
