// Package app puts the program together: Connect's command line with the components that streams may
// use, the API's listener that ingestion streams mount on, and the commands of our own.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/chaos"
	"github.com/shop-connect/shop-connect/internal/demo"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
	quarantine "github.com/shop-connect/shop-connect/internal/quarantine/command"
	"github.com/shop-connect/shop-connect/internal/runs"
)

const name = "shop-connect"

// streamsStart is how long the API waits for streams to mount their endpoints.
const streamsStart = 30 * time.Second

// Run runs the command line and returns the exit code of the process.
func Run(ctx context.Context, args []string) int {
	program := &program{environment: Environment()}
	if len(args) > 1 && args[1] == "streams" {
		args = streamFiles(args)
	}
	code, err := program.run(ctx, args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		if code == 0 {
			code = 1
		}
	}
	return code
}

// streamFiles expands patterns, which nothing else does where there is no shell, and leaves tests out:
// pipelines/*.yaml names them as well, and they are no streams.
func streamFiles(args []string) []string {
	var expanded []string
	for _, arg := range args {
		files, err := filepath.Glob(arg)
		if err != nil || len(files) == 0 || !strings.ContainsAny(arg, "*?[") {
			files = []string{arg} // no pattern, or one that names nothing: that is reported by what opens it
		}
		expanded = append(expanded, files...)
	}
	return slices.DeleteFunc(expanded, func(arg string) bool { return strings.HasSuffix(arg, testSuffix) })
}

// program is one run of the command line.
type program struct {
	environment *service.Environment
	// stopAPI and stopProbes are set once they listen.
	stopAPI, stopProbes func() error
}

// run runs the command line; onStart, if any, is called once streams mode is up.
func (p *program) run(ctx context.Context, args []string, extra ...service.CLIOptFunc) (int, error) {
	version, date := Version()
	options := []service.CLIOptFunc{
		service.CLIOptSetArgs(args...),
		service.CLIOptSetBinaryName(name),
		service.CLIOptSetProductName(name),
		service.CLIOptSetVersion(version, date),
		service.CLIOptSetEnvironment(p.environment),
		service.CLIOptSetMainSchemaFrom(p.schema),
		service.CLIOptOnConfigParse(p.startServers),
		service.CLIOptAddCommand(upCommand(p)),
		service.CLIOptAddCommand(provisionCommand()),
		service.CLIOptAddCommand(healthCommand()),
		service.CLIOptAddCommand(doctorCommand()),
		service.CLIOptAddCommand(metricsCommand()),
		service.CLIOptAddCommand(componentsCommand(p.environment)),
		service.CLIOptAddCommand(installCommand()),
		service.CLIOptAddCommand(versionCommand()),
		service.CLIOptAddCommand(contractCommand()),
		service.CLIOptAddCommand(load.Command()),
		service.CLIOptAddCommand(demo.Command(withStack)),
		service.CLIOptAddCommand(chaos.Command()),
		service.CLIOptAddCommand(runs.Command()),
		service.CLIOptAddCommand(runs.ShowCommand()),
		service.CLIOptAddCommand(quarantine.Command()),
		service.CLIOptAddCommand(auth.Command(env.ReadFile)),
		service.CLIOptAddCommand(auth.UserCommand(env.ReadFile)),
	}
	code, err := service.RunCLIToCode(ctx, append(options, extra...)...)
	for _, stop := range []func() error{p.stopProbes, p.stopAPI} {
		if stop != nil {
			err = errors.Join(err, stop())
		}
	}
	p.stopAPI, p.stopProbes = nil, nil
	return code, err
}

// schema is Connect's own configuration with the sections `api` and `probes` added.
func (p *program) schema() *service.ConfigSchema {
	version, date := Version()
	return p.environment.FullConfigSchema(version, date).Fields(append(api.ConfigFields(), probesField())...)
}

// startServers opens what listens beside the streams REST API.
func (p *program) startServers(conf *service.ParsedConfig) (err error) {
	if err := p.startAPI(conf); err != nil {
		return err
	}
	p.stopProbes, err = startProbes(conf, env.FromProcess())
	return err
}

// startAPI opens the listener before any stream starts, so that inputs find it to mount on.
func (p *program) startAPI(conf *service.ParsedConfig) error {
	config, wanted, err := api.FromParsed(conf)
	if err != nil || !wanted {
		return err
	}
	vars := env.FromProcess()
	backends, err := openBackends(vars)
	if err != nil {
		return err
	}
	backends.serve(&config, vars)
	config.Version, _ = Version()
	config.Metrics, config.Tracer = conf.Resources().Metrics(), conf.Resources().OtelTracer()
	server, err := api.New(config)
	if err == nil {
		err = loadAccess(config.Verifier, backends.store)
	}
	if err == nil {
		err = server.Listen()
	}
	if err != nil {
		backends.close()
		return err
	}
	conf.Resources().SetGeneric(api.Key, server)
	server.AwaitStreams(streamsStart)
	// the listener outlives the streams, which answer the requests that they have taken
	ctx, cancel := context.WithCancel(context.Background())
	followAccess(ctx, config.Verifier, backends.store)
	backends.followVitals(ctx, &config, conf.Resources().Metrics())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	p.stopAPI = func() error {
		cancel()
		defer backends.close()
		return <-served
	}
	return nil
}

// version is set at link time in releases.
var version string

// Version returns the program's version and the date of its commit, as far as the build knows them.
func Version() (number, date string) {
	number = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return number, ""
	}
	if number == "" {
		number = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.time" {
			date = setting.Value
		}
	}
	return number, date
}
