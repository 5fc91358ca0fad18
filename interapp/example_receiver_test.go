package interapp_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"sftpconnector/interapp"
)

// Be told when the files of a request are there. The URL of the receiver was
// the request's reply_to; server.reply_to_allow allows it.
func ExampleReceiver() {
	receiver := &interapp.Receiver{
		Secret: "TOKEN", // with which the request was sent
		OnReply: func(_ context.Context, reply interapp.Reply) error {
			fmt.Println(reply.ID, reply.Success, reply.Description)
			for _, name := range reply.FileNames {
				fmt.Println(reply.Destination + "/" + name)
			}
			return nil
		},
	}
	server := httptest.NewServer(receiver) // a program has http.ListenAndServe("127.0.0.1:9000", receiver)
	defer server.Close()

	// This is what sftp-connector does.
	body := []byte(`{"id":"42","connector":"trace-results","success":true,"description":"1 file copied",
		"destination_directory_path":"/srv/results","file_names":["a/x.csv"]}`)
	post, err := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	post.Header.Set(interapp.EventHeader, interapp.EventReply)
	post.Header.Set(interapp.IdempotencyHeader, "request:42")
	post.Header.Set(interapp.SignatureHeader, interapp.Sign("TOKEN", time.Now(), body))
	answer, err := server.Client().Do(post)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)

	// Output:
	// 42 true 1 file copied
	// /srv/results/a/x.csv
	// 204 No Content
}
