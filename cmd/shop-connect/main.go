// Command shop-connect is a shop's analytics flow in one program: a Redpanda Connect distribution with
// the components, the API and the embedded servers that the pipelines in this repository use.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/shop-connect/shop-connect/internal/app"
	"github.com/shop-connect/shop-connect/internal/embedded"
)

func main() {
	ctx := context.Background()
	// an embedded server is this very binary, started again
	if handled, err := embedded.RunChild(ctx, os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, "shop-connect:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(app.Run(ctx, os.Args))
}
