package objectstore_test

import (
	"net"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/objectstore"
)

func parse(t *testing.T, text string) (objectstore.Config, error) {
	t.Helper()
	conf, err := service.NewConfigSpec().Fields(objectstore.Fields()...).ParseYAML(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return objectstore.FromParsed(conf)
}

func TestEveryFaultOfTheConfigIsReportedAtOnce(t *testing.T) {
	_, err := parse(t, `{endpoint: "127.0.0.1:9000", access_key: "", secret_key: ""}`)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"endpoint", "access_key", "secret_key"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not mention %s: %v", want, err)
		}
	}
}

func TestEndpointsAreURLsOfAHost(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"http://127.0.0.1:9000":     true,
		"https://s3.example.com/":   true,
		"s3.example.com":            false,
		"s3://bucket":               false,
		"http://":                   false,
		"http://host:9000/bucket":   false,
		"http://user:pass@host:900": false,
		"http://host:9000?x=1":      false,
	} {
		config, err := parse(t, "endpoint: "+endpoint+"\naccess_key: a\nsecret_key: b\n")
		if (err == nil) != ok {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass@") {
			t.Errorf("the error shows a password: %v", err)
		}
		if _, err := config.Client(); (err == nil) != ok {
			t.Errorf("client for %q: %v", endpoint, err)
		}
	}
}

func TestAnUnreachableStoreIsExplained(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + listener.Addr().String()
	listener.Close()
	config := objectstore.Config{Endpoint: endpoint, Region: "us-east-1", AccessKey: "a", SecretKey: "b"}
	client, err := config.Client()
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.StatObject(t.Context(), "shop-raw-data", "x", minio.StatObjectOptions{})
	err = config.Explain(err, "shop-raw-data")
	if err == nil || !strings.Contains(err.Error(), "is it running") || !strings.Contains(err.Error(), endpoint) {
		t.Errorf("unhelpful: %v", err)
	}
}
