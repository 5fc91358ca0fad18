// Package notify posts replies and deliveries to the programs that asked to be
// told: only where server.reply_to_allow permits it, signed, and again until
// they are taken.
package notify
