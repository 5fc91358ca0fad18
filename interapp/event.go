package interapp

import "time"

// StatusEvent says that a connector's Connection Status became another.
type StatusEvent struct {
	Connector        string    `json:"connector"`
	Space            string    `json:"space,omitempty" doc:"The Space that the connector imports, if it does"`
	ConnectionStatus string    `json:"connection_status"`
	Since            time.Time `json:"since"`
	Hint             string    `json:"hint" doc:"What to check next; empty when all is well"`
	Error            string    `json:"error" doc:"The cause; empty when all is well"`
}

// PassEvent is a pass under way, or one that has just ended.
type PassEvent struct {
	Pass
	Progress *Progress `json:"progress" doc:"null when it has ended, or does not copy yet"`
}

// FileEvent is a file that has just been delivered.
type FileEvent struct {
	Connector string `json:"connector"`
	Space     string `json:"space,omitempty" doc:"The Space that it was uploaded to, if it was"`
	File
}

// LostEvent stands where events are missing, as the listener was too slow.
type LostEvent struct {
	Lost int64 `json:"lost" doc:"How many"`
}
