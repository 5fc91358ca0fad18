package web

// notices are what a page says of what was just done, by the code in its address.
var notices = map[string]string{
	"applied":      "The Apply has started. What it does is shown below.",
	"saved":        "Saved. The new settings are in force.",
	"saved-apply":  "Saved, and the Apply has started.",
	"saved-only":   "Saved in the configuration file, but not in force: the reload says why on the page Configuration.",
	"unchanged":    "Nothing was changed.",
	"paused":       "Paused: it does nothing until it is resumed.",
	"resumed":      "Resumed.",
	"trusted":      "The host key is trusted now.",
	"schedule":     "Automatic SFTP File Sync was changed.",
	"released":     "Released: the next pass tries the files again.",
	"none":         "No file was released: none of them is in quarantine any more.",
	"asked":        "The request was accepted.",
	"cancelled":    "The request was cancelled.",
	"sent":         "It was sent again; below is what became of it.",
	"unsubscribed": "The subscription was ended.",
	"dropped":      "What was pending was dropped.",
	"revoked":      "Revoked: the password works no more, and the sessions of the Space were cut.",
	"removed":      "The connector was removed. What it has delivered stays where it is.",
	"created":      "The connector was added.",
	"reloaded":     "The configuration was read anew.",
	"refused":      "The configuration file was refused, and the old configuration is kept. The reason stands below.",
}
