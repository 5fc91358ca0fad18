package share

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// longestName is what one component may have, in UTF-16 code units.
const longestName = 255

var errNotUTF8 = errors.New("it is not UTF-8")

// CheckName says why a file or a directory on a share cannot have a name. The
// rules are those of Windows ("Naming Files, Paths, and Namespaces"), which
// Samba would bend: a name that one server changes to fit is two names for who
// remembers it.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("it has an empty part")
	case name == "." || name == "..":
		return errors.New("it has . or .. for a part")
	case !utf8.ValidString(name):
		return errNotUTF8
	case len(utf16.Encode([]rune(name))) > longestName:
		return fmt.Errorf("a part of it is longer than %d characters", longestName)
	case strings.ContainsFunc(name, isControl):
		return errors.New("it has a control character")
	case strings.HasSuffix(name, "."):
		return errors.New("a part of it ends in a dot, which Windows drops")
	case strings.HasSuffix(name, " "):
		return errors.New("a part of it ends in a space, which Windows drops")
	}
	if i := strings.IndexAny(name, `<>:"|?*\`); i >= 0 {
		return fmt.Errorf("it has the character %c, which Windows does not allow", name[i])
	}
	if device := deviceName(name); device != "" {
		return fmt.Errorf("%s is a device on Windows, with any ending", device)
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 }

// deviceName gives the device of MS-DOS that name means on Windows, or "".
func deviceName(name string) string {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return base
	}
	port, digit := strings.CutPrefix(base, "COM")
	if !digit {
		port, digit = strings.CutPrefix(base, "LPT")
	}
	if digit && utf8.RuneCountInString(port) == 1 && strings.Contains("123456789¹²³", port) {
		return base
	}
	return ""
}
