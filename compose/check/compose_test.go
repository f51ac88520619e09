// Package check holds the files that deploy shop-connect to what reads them: Compose's own loader, Helm's
// engine, Kubernetes' own types. It is a module of its own, so that none of that is linked into shop-connect.
package check

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeDir = ".."

// load reads compose.yaml as `docker compose` does, with the .env that start.sh writes.
func load(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(composeDir, "compose.yaml")},
		cli.WithEnv(environment(generated(t))), cli.WithProfiles(profiles), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func environment(variables map[string]string) []string {
	var all []string
	for name, value := range variables {
		all = append(all, name+"="+value)
	}
	return all
}

// generated runs `start.sh env` in a copy of the folder and returns what it wrote.
func generated(t *testing.T) map[string]string {
	t.Helper()
	root := t.TempDir()
	script, err := os.ReadFile(filepath.Join(composeDir, "..", "start.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "start.sh"), script, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "compose"), 0o700); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command(filepath.Join(root, "start.sh"), "env").CombinedOutput(); err != nil {
		t.Fatalf("start.sh env: %v\n%s", err, output)
	}
	path := filepath.Join(root, "compose", ".env")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf(".env has mode %v: its passwords are for its owner alone", info.Mode().Perm())
	}
	variables, err := dotenv.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return variables
}

func TestComposeHasEveryPartOfTheStack(t *testing.T) {
	project := load(t, "rustfs")
	want := []string{
		"airflow-apiserver", "airflow-dag-processor", "airflow-init", "airflow-scheduler", "airflow-triggerer", "api", "clickhouse", "grafana",
		"kafka", "postgres", "prometheus", "provision", "rustfs", "s3-provision", "shop-connect", "spark-master", "spark-worker", "tabix",
	}
	if got := slices.Sorted(maps.Keys(project.Services)); !slices.Equal(got, want) {
		t.Errorf("the services are\n%v, want\n%v", got, want)
	}
	for profile, service := range map[string]string{"minio": "minio", "ui": "cloudbeaver"} {
		if _, there := load(t, profile).Services[service]; !there {
			t.Errorf("profile %s has no service %s", profile, service)
		}
	}
}

func TestEveryServiceIsTaggedCheckedLimitedAndRestarted(t *testing.T) {
	for name, service := range load(t, "*").Services {
		if _, tag, tagged := strings.Cut(service.Image, ":"); !tagged || tag == "latest" {
			t.Errorf("%s: image %q has no tag that stays", name, service.Image)
		}
		if service.HealthCheck == nil || (len(service.HealthCheck.Test) == 0 && !service.HealthCheck.Disable) {
			t.Errorf("%s has no health check", name)
		}
		if service.HealthCheck != nil && service.HealthCheck.Disable && !strings.HasPrefix(service.Restart, "on-failure") {
			t.Errorf("%s has no health check, and is not a step that ends", name)
		}
		if service.Restart == "" {
			t.Errorf("%s says nothing of restarts", name)
		}
		if service.Deploy == nil || service.Deploy.Resources.Limits == nil || service.Deploy.Resources.Limits.MemoryBytes == 0 || service.Deploy.Resources.Limits.NanoCPUs == 0 {
			t.Errorf("%s may take all memory and every processor", name)
		}
		if service.Privileged || service.NetworkMode == "host" {
			t.Errorf("%s has the machine's own rights", name)
		}
		for _, volume := range service.Volumes {
			if strings.Contains(volume.Source, "docker.sock") {
				t.Errorf("%s may do what Docker may", name)
			}
		}
	}
}

func TestOnlyTheDocumentedPortsArePublishedAndOnLoopback(t *testing.T) {
	want := []string{"3000", "5432", "8000", "8080", "8090", "8123", "8124", "8125", "9000", "9001", "9090", "9092"}
	var got []string
	for name, service := range load(t, "rustfs", "ui").Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, port.Published, port.HostIP)
			}
			if port.Target == 4195 {
				t.Errorf("%s publishes the streams REST API", name)
			}
			got = append(got, port.Published)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the published ports are %v, want %v", got, want)
	}
}

func TestNothingStartsBeforeWhatItNeeds(t *testing.T) {
	services := load(t, "*").Services
	for name, needs := range map[string][]string{
		"provision": {"kafka", "postgres", "clickhouse", "s3-provision"}, "s3-provision": {"rustfs", "minio"},
		"shop-connect": {"provision"}, "api": {"shop-connect"}, "airflow-init": {"provision"}, "airflow-scheduler": {"airflow-init"},
		"airflow-triggerer": {"airflow-init"}, "airflow-dag-processor": {"airflow-init"}, "airflow-apiserver": {"airflow-init"}, "spark-worker": {"spark-master"},
	} {
		for _, need := range needs {
			dependency, there := services[name].DependsOn[need]
			if !there {
				t.Errorf("%s does not wait for %s", name, need)
				continue
			}
			wanted := types.ServiceConditionHealthy
			if services[need].HealthCheck.Disable {
				wanted = types.ServiceConditionCompletedSuccessfully
			}
			if dependency.Condition != wanted {
				t.Errorf("%s waits until %s is %s, want %s", name, need, dependency.Condition, wanted)
			}
		}
	}
}

func TestAMissingSecretStopsTheStart(t *testing.T) {
	variables := generated(t)
	secret := regexp.MustCompile(`(PASSWORD|SECRET|_KEY|HASH)`)
	for name := range variables {
		if !secret.MatchString(name) {
			continue
		}
		without := maps.Clone(variables)
		delete(without, name)
		options, err := cli.NewProjectOptions([]string{filepath.Join(composeDir, "compose.yaml")}, cli.WithEnv(environment(without)), cli.WithProfiles([]string{"*"}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := options.LoadProject(context.Background()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s it starts: %v", name, err)
		}
	}
}

func TestSecretsAreLongAndOfThisInstallationAlone(t *testing.T) {
	first, second := generated(t), generated(t)
	for name, value := range first {
		switch name {
		case "COMPOSE_PROFILES", "BIND_ADDRESS", "SHOP_TIMEZONE", "STREAMS_USER":
			continue
		}
		if len(value) < 20 {
			t.Errorf("%s has %d characters", name, len(value))
		}
		if value == second[name] {
			t.Errorf("%s is the same in two installations", name)
		}
	}
}

// A mount of a file that is not there makes Docker create a folder of its name.
func TestEveryMountedFileIsThere(t *testing.T) {
	for name, service := range load(t, "*").Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s mounts %s: %v", name, volume.Source, err)
			}
		}
		if service.Build != nil {
			if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
				t.Errorf("%s is built from what is not there: %v", name, err)
			}
		}
	}
}
