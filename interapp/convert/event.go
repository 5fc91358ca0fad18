package convert

import (
	"sftpconnector/connector"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

// FromHealth gives a change of a connector's Connection Status.
func FromHealth(name string, h connector.Health) interapp.StatusEvent {
	return interapp.StatusEvent{
		Connector: name, Space: SpaceOf(name), ConnectionStatus: string(h.Status), Since: h.Since.UTC(), Hint: h.Hint, Error: h.Error,
	}
}

// FromLook gives a pass that ended or is under way, with its progress.
func FromLook(name string, p connector.PassReport) interapp.PassEvent {
	return interapp.PassEvent{Pass: FromPass(name, p), Progress: fromProgress(p.Progress)}
}

// FromDelivered gives a file as it is when it has been delivered.
func FromDelivered(name string, d filesync.Delivered) interapp.FileEvent {
	v := d.Delivery
	state := filesync.StateDelivered
	if v.Adopted {
		state = filesync.StatePresent
	}
	return interapp.FileEvent{Connector: name, Space: SpaceOf(name), File: interapp.File{
		Name: v.Source.Name, State: string(state), Size: v.Source.Size, ModTime: moment(v.Source.ModTime),
		Target: v.Target.Name, Pass: v.Pass, DeliveredAt: moment(v.At), Unverified: v.After == filesync.AfterUnverified,
	}}
}
