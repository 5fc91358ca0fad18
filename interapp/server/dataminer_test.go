package server_test

// message is an InterApp message without a call around it.
const message = `{"$id":"1","$type":"Acme.Sftp.GetFilesRequest, ","fileNameFilter":"*.csv","guid":"message"}`
