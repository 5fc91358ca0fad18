package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets/*.css assets/*.js assets/*.svg
var assetFiles embed.FS

// assets are the files that pages load. Each has a hash of its bytes in its name, so that
// browsers may keep it for good.
type assets struct {
	names  map[string]string // by the name in the folder
	served map[string]asset  // by the name with the hash
}

type asset struct {
	kind           string
	plain, gzipped []byte
}

func loadAssets() assets {
	out := assets{names: map[string]string{}, served: map[string]asset{}}
	entries, err := fs.ReadDir(assetFiles, "assets")
	if err != nil {
		panic(err) // they are in the program
	}
	for _, e := range entries {
		text, err := fs.ReadFile(assetFiles, "assets/"+e.Name())
		if err != nil {
			panic(err)
		}
		hash := sha256.Sum256(text)
		ext := path.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(hash[:6]) + ext
		out.names[e.Name()] = name
		out.served[name] = asset{kindOf(ext), text, zipped(text)}
	}
	return out
}

// kindOf does not ask the machine's table of types, which may be another one.
func kindOf(ext string) string {
	switch ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(ext)
}

func zipped(text []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // a level that there is
	_, _ = z.Write(text)                                    // to memory
	_ = z.Close()
	return out.Bytes()
}

// ServeHTTP implements http.Handler.
func (s assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := s.served[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	text := f.plain
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		text = f.gzipped
	}
	_, _ = w.Write(text) // the browser may be gone
}
