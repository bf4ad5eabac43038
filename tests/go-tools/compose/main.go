// What `docker compose config --format json` says, by the library that Docker Compose itself reads its files with: it holds
// them against the schema of the Compose specification, and prints what they come to.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func config() error {
	options, err := cli.NewProjectOptions(
		nil,
		cli.WithOsEnv,
		cli.WithDefaultConfigPath,
		cli.WithDefaultProfiles(),
	)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	data, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(data)
	return err
}

func main() {
	if err := config(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
