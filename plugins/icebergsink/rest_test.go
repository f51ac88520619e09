package icebergsink

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/tableupkeep"
)

// newRESTShop is a shop whose catalog is Apache Iceberg's reference REST catalog.
func newRESTShop(t *testing.T) *shop {
	t.Helper()
	s := newShop(t)
	s.uri, s.warehouse = "http://127.0.0.1:"+startREST(t, s.dir), ""
	return s
}

// startREST returns the port. The first test on a machine fetches 90 MB from Maven Central.
func startREST(t *testing.T, dir string) string {
	t.Helper()
	for _, program := range []string{"javac", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("a REST catalog to test with needs %s: apt-get install openjdk-17-jdk-headless maven", program)
		}
	}
	source, err := filepath.Abs("testdata/restcatalog")
	if err != nil {
		t.Fatal(err)
	}
	cache := os.Getenv("SHOP_CONNECT_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache")
	}
	jars, err := filepath.Abs(filepath.Join(cache, "iceberg-rest-1.11.0"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(jars); err != nil {
		fresh := jars + ".new"
		output, err := exec.CommandContext(t.Context(), "mvn", "-B", "-q", "-f", filepath.Join(source, "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory="+fresh).CombinedOutput()
		if err != nil {
			t.Fatalf("fetching a REST catalog: %v: %s", err, output)
		}
		if err := os.Rename(fresh, jars); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	server := exec.CommandContext(t.Context(), "java", "-Xmx256m", "-cp", jars+"/*", filepath.Join(source, "Catalog.java"), dir)
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe() // its end is the server's
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = server.Wait() })
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("starting a REST catalog: %v", err)
	}
	return strings.TrimSpace(port)
}

func TestARESTCatalogServesAsWell(t *testing.T) {
	s := newRESTShop(t)
	first, second := s.sink(), s.sink()
	write(t, first, 0, purchases(0, 30)...)
	// The other one loses the fence, and writes only what is left.
	write(t, second, 20, append(purchases(20, 40), purchase("p-1", "9", "2024-03-01"), deletion("p-2"))...)
	write(t, first, 0, purchases(0, 30)...)
	write(t, first, 42, purchase("p-1", "10", "2024-01-01"))
	want := s.rows(second)
	if len(want) != 39 || want["p-1"] != "10.00 2024-01-01" || want["p-2"] != "" {
		t.Errorf("%d rows, want 39; p-1 is %q, p-2 %q", len(want), want["p-1"], want["p-2"])
	}
	// A field that the contract gains, and upkeep.
	keeper := tableupkeep.New(second.catalog, second.cfg.ident, tableupkeep.Options{TargetBytes: 32 << 20, MinFiles: 2, MaxDeletes: 1, MaxManifests: 1, KeepSnapshots: 0})
	report, err := keeper.Run(t.Context())
	if err != nil || report.FilesMerged == 0 || report.Snapshots != 1 {
		t.Errorf("upkeep: %+v, %v", report, err)
	}
	s.expect(second, want)
	write(t, s.sink(), 43, purchase("p-3", "11", "2024-01-02"))
	want["p-3"] = "11.00 2024-01-02"
	s.expect(second, want)

	s.warehouse, s.uri = "", "http://"+closedPort(t)
	out, err := parse(s.config())
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if err := out.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "opening REST catalog") || time.Since(started) > 30*time.Second {
		t.Errorf("a REST catalog that is not there: %v after %s", err, time.Since(started))
	}
}

func TestFieldsOfARESTCatalogAreChecked(t *testing.T) {
	s := newShop(t)
	s.uri, s.warehouse = "https://catalog.example.org", ""
	s.catalog = `shop, token: t, credential: nocolon, token_uri: nowhere`
	_, err := parse(s.config())
	for _, want := range []string{"exclude each other", "client_id:client_secret", "token_uri must be a URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	s = newShop(t)
	s.catalog = `shop, token: t`
	if _, err := parse(s.config()); err == nil || !strings.Contains(err.Error(), "for REST catalogs") {
		t.Errorf("a token for a SQL catalog: %v", err)
	}
}
