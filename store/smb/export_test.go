package smb

// Refuses reports whether a share cannot hold a name.
func Refuses(name string) bool { return checkName(name) != nil }
