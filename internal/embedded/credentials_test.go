package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentialsAreMadeOnceAndForTheOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	first, err := loadOrCreateSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, credentialsFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, want 0600", info.Mode().Perm())
	}
	second, err := loadOrCreateSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first != second || !first.complete() {
		t.Error("credentials changed, or lack a value")
	}
	if len(first.JWTSecret) < 32 {
		t.Errorf("the JWT secret has %d bytes, want at least 32", len(first.JWTSecret))
	}
	if other := newSecrets(); other.JWTSecret == first.JWTSecret {
		t.Error("two directories have the same secret")
	}
}

func TestCredentialsThatOthersMayReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := loadOrCreateSecrets(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, credentialsFile)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadOrCreateSecrets(dir); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("error is %v, want one that says how to close the file", err)
	}
}

func TestLostCredentialsAreNotReplacedWhereDataNeedThem(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, dirPostgres), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := loadOrCreateSecrets(dir); err == nil || !strings.Contains(err.Error(), credentialsFile) {
		t.Errorf("error is %v, want one that names the lost file", err)
	}
}
