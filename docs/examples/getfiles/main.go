// Command getfiles asks a connector for files by name, and prints where they
// are, one a line: SERVER=http://127.0.0.1:8022 TOKEN=… getfiles trace-results '*.csv'
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"sftpconnector/interapp"
)

func main() {
	client := interapp.NewClient(os.Getenv("SERVER"), os.Getenv("TOKEN"))
	reply, err := client.Request(context.Background(), os.Args[1], interapp.Request{Source: "getfiles", FileNameFilter: os.Args[2]})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range reply.FileNames {
		fmt.Println(filepath.Join(reply.Destination, filepath.FromSlash(name)))
	}
	if !reply.Success {
		log.Fatal(reply.Description)
	}
}
