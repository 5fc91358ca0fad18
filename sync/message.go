package sync

import "sftpconnector/interapp"

// Event gives the file as the API tells it when the named connector has
// delivered it.
func (d Delivered) Event(connector string) interapp.FileEvent {
	v := d.Delivery
	state := StateDelivered
	if v.Adopted {
		state = StatePresent
	}
	return interapp.FileEvent{Connector: connector, Space: interapp.SpaceOf(connector), File: interapp.File{
		Name: v.Source.Name, State: string(state), Size: v.Source.Size, ModTime: interapp.TimeOrNull(v.Source.ModTime),
		Target: v.Target.Name, Pass: v.Pass, DeliveredAt: interapp.TimeOrNull(v.At), Unverified: v.After == AfterUnverified,
	}}
}

// Message gives the decision as the API tells it.
func (d Decision) Message() interapp.File {
	return interapp.File{
		Name: d.Entry.Name, State: string(d.State), Size: d.Entry.Size, ModTime: interapp.TimeOrNull(d.Entry.ModTime),
		Target: d.Target, Unverified: d.Unverified, Reason: d.Reason,
	}
}
