// Package credentials says who gets into a Space: the passwords that were made
// for it (Store, in store.go), the public keys that its configuration has (ParseKeys, in
// publickey.go), and the secret keys with which programs ask for new passwords
// (Authorize, in secretkey.go). The file of a Store is written in storage.go, its format
// is in document.go, and uses.go notes when a password was used.
//
// It knows nothing of which Spaces are configured: a password of a Space that
// was taken out of the configuration is still right here.
package credentials
