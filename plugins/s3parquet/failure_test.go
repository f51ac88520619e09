package s3parquet_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/plugins/s3parquet"
)

func TestEveryFaultOfTheConfigIsReportedAtOnce(t *testing.T) {
	for yaml, wanted := range map[string][]string{
		"s3_parquet: {endpoint: nowhere, access_key: '', secret_key: '', bucket: '', prefix: /x, day_folder: a/b, contract: /none.yaml, timezone: Mars, max_in_flight: 0, refused: {drop: {}}}": {
			"endpoint", "access_key", "secret_key", "bucket", "prefix", "day_folder", "contract", "timezone", "max_in_flight",
		},
		"s3_quarantine: {endpoint: nowhere, access_key: '', secret_key: '', bucket: '', max_in_flight: 0}": {
			"endpoint", "access_key", "secret_key", "bucket", "max_in_flight",
		},
		fmt.Sprintf("s3_parquet: {endpoint: 'http://h', access_key: a, secret_key: b, bucket: c, day_folder: day, contract: %q, refused: {drop: {}}}", contractPath("sellers")): {
			"event_time",
		},
	} {
		_, err := construct(yaml)
		if err == nil {
			t.Errorf("accepted: %s", yaml)
			continue
		}
		for _, field := range wanted {
			if !strings.Contains(err.Error(), field) {
				t.Errorf("the error does not mention %s: %v", field, err)
			}
		}
	}
}

func TestClosingIsSafeTwiceAndBeforeConnecting(t *testing.T) {
	store := "{endpoint: 'http://127.0.0.1:1', access_key: a, secret_key: b, bucket: c"
	for name, c := range map[string]struct {
		spec *service.ConfigSpec
		yaml string
	}{
		"s3_parquet output": {s3parquet.OutputSpec(), store + fmt.Sprintf(", contract: %q, refused: {drop: {}}}", contractPath("purchases"))},
		"s3_quarantine":     {s3parquet.QuarantineSpec(), store + "}"},
		"s3_parquet input":  {s3parquet.InputSpec(), store + "}"},
	} {
		t.Run(name, func(t *testing.T) {
			conf, err := c.spec.ParseYAML(c.yaml, nil)
			if err != nil {
				t.Fatal(err)
			}
			component, err := s3parquet.Construct(name, conf)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			for range 2 {
				if err := component.Close(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestAStoreThatIsAwayIsAnErrorAndThenNoRowIsMissing(t *testing.T) {
	s, err := startStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	bucket := makeBucket(t, s)
	out := raw(t, s, bucket)
	write(t, out, sent(0, 1, purchase("a", "2023-11-09")))

	s.stop()
	batch := []*service.Message{sent(0, 2, purchase("b", "2023-11-09")), sent(0, 3, purchase("c", "2023-11-10"))}
	err = out.WriteBatch(t.Context(), batch)
	if err == nil || !strings.Contains(err.Error(), "is it running") || !strings.Contains(err.Error(), s.Endpoint) {
		t.Fatalf("writing without a store: %v", err)
	}

	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	write(t, out, batch...)
	if got := keys(s.objects(t, bucket)); !slices.Equal(got, []string{
		"purchases/purchase_date=2023-11-09/purchases-0-1.parquet",
		"purchases/purchase_date=2023-11-09/purchases-0-2.parquet",
		"purchases/purchase_date=2023-11-10/purchases-0-2.parquet",
	}) {
		t.Errorf("objects %q", got)
	}
}
