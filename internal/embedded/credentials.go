package embedded

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const credentialsFile = "credentials.json"

// secrets are the secrets of one data directory, made up once, when it is first used.
type secrets struct {
	S3AccessKey      string `json:"s3_access_key"`
	S3SecretKey      string `json:"s3_secret_key"`
	PostgresPassword string `json:"postgres_password"`
	// PostgresOwner is the password of the cluster's superuser, which nothing but the set-up uses: a
	// superuser may start programs, and streams hold the other password.
	PostgresOwner      string `json:"postgres_owner_password"`
	ClickHousePassword string `json:"clickhouse_password"`
	JWTSecret          string `json:"jwt_secret"`
	StreamsPassword    string `json:"streams_password"`
}

func newSecrets() secrets {
	return secrets{
		S3AccessKey:        rand.Text()[:20],
		S3SecretKey:        rand.Text() + rand.Text(),
		PostgresPassword:   rand.Text(),
		PostgresOwner:      rand.Text(),
		ClickHousePassword: rand.Text(),
		JWTSecret:          rand.Text() + rand.Text(), // 52 characters, 260 bits: HS256 wants at least 256
		StreamsPassword:    rand.Text(),
	}
}

func (c secrets) complete() bool {
	return c.S3AccessKey != "" && c.S3SecretKey != "" && c.PostgresPassword != "" && c.PostgresOwner != "" &&
		c.ClickHousePassword != "" && c.JWTSecret != "" && c.StreamsPassword != ""
}

func loadOrCreateSecrets(dataDir string) (secrets, error) {
	creds, err := loadSecrets(dataDir)
	if !errors.Is(err, fs.ErrNotExist) {
		return creds, err
	}
	path := filepath.Join(dataDir, credentialsFile)
	// PostgreSQL keeps its password inside its data; a new one would lock everybody out.
	if _, err := os.Stat(filepath.Join(dataDir, dirPostgres)); err == nil {
		return secrets{}, fmt.Errorf("%s is gone, and %s can only be opened with the password in it: put it back, or remove %s to begin anew",
			path, dirPostgres, dataDir)
	}
	creds = newSecrets()
	text, err := json.MarshalIndent(creds, "", "  ")
	if err != nil {
		return secrets{}, fmt.Errorf("encoding credentials: %w", err)
	}
	if err := writeFileAtomic(path, append(text, '\n')); err != nil {
		return secrets{}, fmt.Errorf("writing credentials %s: %w", path, err)
	}
	return creds, nil
}

// loadSecrets reads the secrets of a data directory that was used before. It refuses a file that
// others than its owner may read.
func loadSecrets(dataDir string) (secrets, error) {
	path := filepath.Join(dataDir, credentialsFile)
	info, err := os.Stat(path)
	if err != nil {
		return secrets{}, fmt.Errorf("opening credentials: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return secrets{}, fmt.Errorf("credentials %s may be read by others (mode %04o): run `chmod 600 %s`", path, mode, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return secrets{}, fmt.Errorf("reading credentials: %w", err)
	}
	var creds secrets
	if err := json.Unmarshal(text, &creds); err != nil {
		return secrets{}, fmt.Errorf("decoding credentials %s: %w; restore the file, or remove %s to begin anew", path, err, dataDir)
	}
	if !creds.complete() {
		return secrets{}, fmt.Errorf("credentials %s lack a value: restore the file, or remove %s to begin anew", path, dataDir)
	}
	return creds, nil
}
