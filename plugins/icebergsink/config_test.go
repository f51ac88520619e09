package icebergsink

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestConfigFaultsAreReportedAllAtOnce(t *testing.T) {
	_, err := parse(fmt.Sprintf(`
catalog: {name: "", uri: "mysql://db", warehouse: "ftp://x"}
table: purchases
contract: %s/purchases.yaml
partition_by: [nowhere, "day(quantity)", "half(id)", "bucket(0, id)", "purchase_date"]
timezone: Mars/Olympus
recent_keys: 3
refused: {captured: {id: x}}`, contracts))
	if err == nil {
		t.Fatal("a config that is wrong everywhere was accepted")
	}
	for _, want := range []string{
		"catalog.name", "catalog.uri", "catalog.warehouse", `table: "purchases"`, "timezone", "recent_keys",
		`there is no column "nowhere"`, `"day(quantity)": day does not work on a long`, `"half(id)"`, `"bucket(0, id)"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the fault %q is not among the reported:\n%v", want, err)
		}
	}
}

func TestConfigFaultsNeverShowThePassword(t *testing.T) {
	s := newShop(t)
	for _, uri := range []string{"postgres://u:secret@ho st/db", "mysql://u:secret@host/db"} {
		s.uri = uri
		if _, err := parse(s.config()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestAnS3WarehouseNeedsStorage(t *testing.T) {
	s := newShop(t)
	s.warehouse = "s3://analytics/"
	s.storage = "storage: {endpoint: '127.0.0.1:9000'}"
	_, err := parse(s.config())
	if err == nil || !strings.Contains(err.Error(), "endpoint") || !strings.Contains(err.Error(), "access_key") {
		t.Errorf("%v", err)
	}
}

func TestConnectSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	newStackShop(t) // starts the servers
	closed := closedPort(t)
	for name, tc := range map[string]struct {
		change func(s *shop)
		want   []string
	}{
		"catalog unreachable": {
			func(s *shop) { s.uri = "postgres://shop:x@" + closed + "/shop?sslmode=disable" },
			[]string{"reaching catalog", "check catalog.uri"},
		},
		"wrong password of the catalog": {
			func(s *shop) { s.uri = strings.Replace(s.uri, "@", "x@", 1) },
			[]string{"reaching catalog", "check catalog.uri"},
		},
		"store unreachable": {
			func(s *shop) { s.storage = strings.Replace(s.storage, stack.env["S3_ENDPOINT"], "http://"+closed, 1) },
			[]string{"reaching object store", "check storage.endpoint"},
		},
		"wrong secret of the store": {
			func(s *shop) { s.storage = strings.Replace(s.storage, stack.env["S3_SECRET_KEY"], "wrong", 1) },
			[]string{"opening bucket", "check storage.access_key"},
		},
		"bucket missing": {
			func(s *shop) { s.warehouse = "s3://nowhere/" },
			[]string{`opening bucket "nowhere"`, "create it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStackShop(t)
			tc.change(s)
			out, err := parse(s.config())
			if err != nil {
				t.Fatal(err)
			}
			err = out.Connect(t.Context())
			if err == nil {
				t.Fatal("connected")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than one line", err)
			}
			if err := out.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
