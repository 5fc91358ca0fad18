package interapp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
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
