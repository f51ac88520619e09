package clickhouse

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"text/template"
	"time"
)

// oldestServer is the oldest major version that is used when found: distributions still ship one of 2018.
const oldestServer = 24

var serverVersion = regexp.MustCompile(`version (\d+)\.`)

// FindServer returns the `clickhouse` binary on PATH, unless there is none or only one that is too old.
func FindServer() (path string, ok bool) {
	path, err := exec.LookPath("clickhouse")
	if err != nil {
		return "", false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "local", "--version").Output()
	if err != nil {
		return "", false
	}
	found := serverVersion.FindSubmatch(output)
	if found == nil {
		return "", false
	}
	major, err := strconv.Atoi(string(found[1]))
	return path, err == nil && major >= oldestServer
}

// userName is what ClickHouse can read as the name of an element in users.xml.
var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// serverConfig opens the HTTP interface only. As with Serve, files are read below the working directory only.
var serverConfig = template.Must(template.New("config.xml").Funcs(template.FuncMap{"xml": escapeXML}).Parse(`<clickhouse>
    <logger><level>warning</level><console>true</console></logger>
    <listen_host>{{xml .Host}}</listen_host>
    <http_port>{{xml .Port}}</http_port>
    <path>{{xml .Data}}/</path>
    <tmp_path>{{xml .Data}}/tmp/</tmp_path>
    <user_files_path>{{xml .Files}}/</user_files_path>
    <default_database>{{xml .Database}}</default_database>
    <timezone>UTC</timezone>
    <user_directories><users_xml><path>{{xml .Users}}</path></users_xml></user_directories>
</clickhouse>
`))

var serverUsers = template.Must(template.New("users.xml").Parse(`<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <{{.User}}>
            <password_sha256_hex>{{printf "%x" .Password}}</password_sha256_hex>
            <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
        </{{.User}}>
    </users>
</clickhouse>
`))

// ServerCommand returns the command that runs the `clickhouse` binary on PATH with cfg, having written its
// configuration into the data folder. The port must be named. The server answers once /ping says "Ok."; SIGTERM
// stops it.
func ServerCommand(cfg Config) (*exec.Cmd, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if !userName.MatchString(cfg.User) {
		return nil, fmt.Errorf("user of ClickHouse: %q may only have letters, digits, _ and -", cfg.User)
	}
	host, port, _ := net.SplitHostPort(cfg.Addr) // checked above
	if port == "0" {
		return nil, errors.New("address of ClickHouse: a server's port must be named")
	}
	binary, ok := FindServer()
	if !ok {
		return nil, fmt.Errorf("running ClickHouse: there is no `clickhouse` of version %d or later on PATH", oldestServer)
	}
	data, err := cfg.subfolder("server")
	if err != nil {
		return nil, err
	}
	files, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the working directory: %w", err)
	}
	config, users := filepath.Join(data, "config.xml"), filepath.Join(data, "users.xml")
	if err := writeConfig(config, serverConfig, map[string]string{
		"Host": host, "Port": port, "Data": data, "Files": files, "Users": users, "Database": cmp.Or(cfg.Database, "default"),
	}); err != nil {
		return nil, err
	}
	if err := writeConfig(users, serverUsers, map[string]any{
		"User": cfg.User, "Password": sha256.Sum256([]byte(cfg.Password)),
	}); err != nil {
		return nil, err
	}
	command := exec.Command(binary, "server", "--config-file="+config)
	// A watchdog process between us and the server would take the signals meant for it.
	command.Env = append(os.Environ(), "CLICKHOUSE_WATCHDOG_ENABLE=0")
	return command, nil
}

// writeConfig keeps the file to its owner: it holds the password's digest.
func writeConfig(path string, content *template.Template, values any) error {
	var text bytes.Buffer
	if err := content.Execute(&text, values); err != nil {
		return fmt.Errorf("writing ClickHouse's %s: %w", content.Name(), err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing ClickHouse's configuration: %w", err)
	}
	return nil
}

func escapeXML(text string) (string, error) {
	var escaped bytes.Buffer
	err := xml.EscapeText(&escaped, []byte(text))
	return escaped.String(), err
}
