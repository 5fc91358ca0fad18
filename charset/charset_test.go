package charset_test

import (
	"errors"
	"io/fs"
	"testing"
	"unicode/utf8"

	"sftpconnector/charset"
)

func TestNames(t *testing.T) {
	for _, test := range []struct{ encoding, raw, name string }{
		{"", "B\xc3\xbccher", "Bücher"},
		{"utf8", "B\xc3\xbccher", "Bücher"},
		{"UTF-8", "B\xc3\xbccher", "Bücher"},
		{"latin1", "B\xfccher", "Bücher"},
		{"latin1", "\x80", "\u0080"}, // on the web it would be the euro
		{"ISO-8859-1", "\xe9", "é"},
		{"iso-8859-15", "\xa4", "€"},
		{"cp1252", "\x80", "€"},
		{"windows-1251", "\xcf\xf0\xe8", "При"},
		{"cp437", "\x81", "ü"},
		{"cp850", "\x81", "ü"},
		{"koi8-r", "\xf0", "П"},
		{"shift-jis", "\x95\x5c\x8e\xa6.csv", "表示.csv"}, // a backslash is a part of it
		{"Shift_JIS", "\x83\x4b", "ガ"},
		{"cp932", "\x83\x4b", "ガ"},
		{"euc-jp", "\xa5\xac", "ガ"},
		{"gbk", "\xd6\xd0", "中"},
		{"gb18030", "\x81\x30\x81\x30", "\u0080"},
		{"big5", "\xa4\xa4", "中"},
		{"euc-kr", "\xc7\xd1", "한"},
	} {
		e, err := charset.Find(test.encoding)
		if err != nil {
			t.Errorf("%s: %v", test.encoding, err)
			continue
		}
		if got := e.Decode(test.raw); got != test.name {
			t.Errorf("%s: %q is %q, want %q", test.encoding, test.raw, got, test.name)
		}
		if got, err := e.Encode(test.name); got != test.raw || err != nil {
			t.Errorf("%s: %q is %q, want %q: %v", test.encoding, test.name, got, test.raw, err)
		}
	}
	for _, name := range []string{"utf-16", "utf-16le", "utf-7", "iso-2022-jp", "hz-gb-2312", "IBM037", "cp037", "replacement", "none", "latin"} {
		if e, err := charset.Find(name); err == nil {
			t.Errorf("%s is taken for %v", name, e)
		}
	}
}

// A name that is not in the encoding is not UTF-8 after all, and stays what it was.
func TestNamesThatAreNotInTheEncoding(t *testing.T) {
	for encoding, raws := range map[string][]string{
		"cp1252":    {"\x81", "\xc3\x81.csv", "a\x9db"},
		"shift-jis": {"\x95", "\x87\x90", "\x81/x", "\xa0", "\xfd\xff"}, // one is a second form of another
		"euc-jp":    {"\xff", "a\x8e"},
		"gbk":       {"\xff", "\x80\x81"},
	} {
		e, err := charset.Find(encoding)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range raws {
			name := e.Decode(raw)
			if utf8.ValidString(name) {
				t.Errorf("%s: %q is taken for %q", encoding, raw, name)
			}
			if again, err := e.Encode(name); again != raw || err != nil {
				t.Errorf("%s: %q comes back as %q: %v", encoding, raw, again, err)
			}
		}
	}
	e, err := charset.Find("cp1252")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"日本", "a\ufffd", "\xff", "e\u0301"} {
		if raw, err := e.Encode(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q is %q: %v", name, raw, err)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, raw := range []string{"a", "\x81\xfe", "\x1b$B", "\xed\xb2\x80", "B\xfccher", "\x95\x5c"} {
		f.Add(raw)
	}
	var all []*charset.Encoding
	for _, name := range []string{"latin1", "cp1252", "shift-jis", "euc-jp", "gbk", "gb18030", "big5", "euc-kr", "cp437", "koi8-r", "windows-1258"} {
		e, err := charset.Find(name)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, e)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, e := range all {
			name := e.Decode(raw)
			if again, err := e.Encode(name); err != nil || again != raw {
				t.Errorf("%s: %q is %q, and comes back as %q: %v", e, raw, name, again, err)
			}
		}
	})
}
