// Command evergrant keeps OAuth grants alive for every business an app serves.
package main

import (
	"os"

	"github.com/evergrant/evergrant/internal/cli"
)

func main() { os.Exit(cli.Main()) }
