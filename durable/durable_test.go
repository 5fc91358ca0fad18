package durable

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

func TestMkdirAll(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	file := filepath.Join(top, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want error
	}{
		{filepath.Join(top, "a", "b", "c"), nil},
		{filepath.Join(top, "a", "b", "c"), nil}, // it stands
		{filepath.Join(top, "a", "d") + string(filepath.Separator), nil},
		{file, syscall.ENOTDIR},
		{filepath.Join(file, "below"), syscall.ENOTDIR},
	} {
		err := MkdirAll(c.path, 0o700)
		if !errors.Is(err, c.want) && runtime.GOOS != "windows" || (err == nil) != (c.want == nil) {
			t.Errorf("MkdirAll(%q): %v, want %v", c.path, err, c.want)
		}
		if info, err := os.Stat(c.path); c.want == nil && (err != nil || !info.IsDir()) {
			t.Errorf("%q: %v, %v", c.path, info, err)
		}
	}
}
