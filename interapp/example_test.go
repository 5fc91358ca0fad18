package interapp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"sftpconnector/interapp"
)

// Copy what a connector has to copy now, and see what became of it.
func Example() {
	ctx := context.Background()
	client := interapp.NewClient("http://127.0.0.1:8022", "TOKEN")
	defer client.Close()

	pass, done, err := client.Apply(ctx, "trace-results", time.Minute)
	if problem, ok := errors.AsType[*interapp.Problem](err); ok {
		log.Fatalf("refused with status %d: %s", problem.Status, problem.Detail)
	}
	if err != nil {
		log.Fatal(err)
	}
	if !done {
		fmt.Println("still copying")
		return
	}
	fmt.Println(pass.State, pass.Files.Copied, "files copied")
	for _, f := range pass.Failures {
		fmt.Println(f.Name, f.Error, f.Hint)
	}
}

// Page through all files that a connector has delivered.
func ExampleClient_Files() {
	ctx := context.Background()
	client := interapp.NewClient("http://127.0.0.1:8022", "TOKEN")
	defer client.Close()

	query := interapp.FileQuery{State: "delivered", Limit: 1000}
	for {
		page, err := client.Files(ctx, "trace-results", query)
		if err != nil {
			log.Fatal(err)
		}
		for _, f := range page.Files {
			fmt.Println(f.Target, f.Size)
		}
		if query.Cursor = page.Cursor; query.Cursor == "" {
			return
		}
	}
}

// Ask for files by name and time, and use them: once the reply is there, they
// are there. The program that asks knows nothing of SFTP.
func ExampleClient_Request() {
	server := httptest.NewServer(standIn()) // a program has http://127.0.0.1:8022
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	client := interapp.NewClient(server.URL, "TOKEN")
	defer client.Close()

	reply, err := client.Request(ctx, "trace-results", interapp.Request{
		Source:         "billing",
		FileNameFilter: "*.csv",
		FileTimeFilter: &interapp.FileTimeFilter{NewerThan: "24h"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Success, reply.Description)
	for _, name := range reply.FileNames {
		fmt.Println(reply.Destination + "/" + name)
	}

	// Output:
	// true 1 file copied, 1 already present
	// /srv/results/a/x.csv
	// /srv/results/y.csv
}

// Start a request, look at it, and cancel it when it takes too long.
func ExampleClient_StartRequest() {
	ctx := context.Background()
	client := interapp.NewClient("http://127.0.0.1:8022", "TOKEN")
	defer client.Close()

	started, err := client.StartRequest(ctx, "trace-results", interapp.Request{FileNameFilter: "regex:^2026/.*[.]csv$"})
	if err != nil {
		log.Fatal(err)
	}
	time.AfterFunc(time.Minute, func() { client.CancelRequest(ctx, started.ID) })
	for range time.Tick(time.Second) {
		state, err := client.RequestState(ctx, started.ID)
		if err != nil {
			log.Fatal(err)
		}
		if state.Ended() {
			fmt.Println(state.State, state.Reply.Description)
			return
		}
		if p := state.Progress; p != nil {
			fmt.Println(p.FilesDone, "of", p.FilesFound, "files")
		}
	}
}

// Be told of every file that is delivered from now on: see Receiver for the
// other end.
func ExampleClient_Subscribe() {
	server := httptest.NewServer(standIn()) // a program has http://127.0.0.1:8022
	defer server.Close()

	ctx := context.Background()
	client := interapp.NewClient(server.URL, "TOKEN")
	defer client.Close()

	subscription, err := client.Subscribe(ctx, "trace-results", interapp.Subscription{
		FileNameFilter: "*.csv",
		ReplyTo:        "http://127.0.0.1:9000/deliveries",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("subscribed as", subscription.ID)
	if err := client.Unsubscribe(ctx, "trace-results", subscription.ID); err != nil {
		log.Fatal(err)
	}

	// Output:
	// subscribed as 17
}

// standIn answers the examples as sftp-connector would.
func standIn() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/connectors/trace-results/requests", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"42","connector":"trace-results","source":"billing","success":true,"description":"1 file copied, 1 already present",
			"destination_directory_path":"/srv/results","file_names":["a/x.csv","y.csv"]}`)
	})
	mux.HandleFunc("POST /api/v1/connectors/trace-results/subscriptions", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":"17","connector":"trace-results"}`)
	})
	mux.HandleFunc("DELETE /api/v1/connectors/trace-results/subscriptions/17", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
