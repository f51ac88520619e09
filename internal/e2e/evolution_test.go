package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

const couponField = "  - name: coupon_code\n    type: string\n    max_length: 40\n    doc: The coupon that the customer used.\n"

func TestAFieldThatAContractGainsReachesEveryLayerWithoutARestart(t *testing.T) {
	data := t.TempDir()
	pipelines := filepath.Join(t.TempDir(), "pipelines")
	if err := os.CopyFS(pipelines, os.DirFS(pipelinesDir)); err != nil {
		t.Fatal(err)
	}
	up := startUp(t, data, pipelines)
	c := newClient(t, up)
	sell := func(id, extra string) {
		t.Helper()
		answer := c.want(t, 200, "POST", "/purchases/bulk-kafka", fmt.Sprintf(
			`{"purchases":[{"id":%q,"product_id":"lamp","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":2.5%s}]}`, id, extra))
		if !strings.Contains(answer, `"success_count":1`) {
			t.Fatal(answer)
		}
	}
	sell("before", "")

	contracts := map[string]string{}
	for _, entity := range []string{"purchases", "purchase_product_facts"} {
		text, err := os.ReadFile(filepath.Join(pipelines, "contracts", entity+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		contracts[entity] = string(text)
	}
	with := func(entity string) string {
		version := regexp.MustCompile(`(?m)^version: (\d+)$`).FindStringSubmatch(contracts[entity])
		n, err := strconv.Atoi(version[1])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(contracts[entity], version[0], fmt.Sprint("version: ", n+1), 1) + couponField
	}
	for entity := range contracts {
		saveLikeAnEditor(t, filepath.Join(pipelines, "contracts", entity+".yaml"), with(entity))
	}
	conn := openClickHouse(t, up)
	eventually(t, 20*time.Second, "the new contract is in use", func() (bool, string) {
		_, answer := c.do("POST", "/purchases/bulk-kafka", `{"purchases":[{"product_id":"lamp","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":2.5,"coupon_code":7}]}`)
		return strings.Contains(answer, "coupon_code"), answer
	})
	sell("after", `,"coupon_code":"WELCOME"`)
	eventually(t, 30*time.Second, "ClickHouse has the coupon", func() (bool, string) {
		var coupons string
		err := conn.QueryRow(t.Context(), "SELECT toString(groupArray((id, coupon_code))) FROM (SELECT id, coupon_code FROM analytics.purchases FINAL WHERE id IN ('before','after') ORDER BY id)").Scan(&coupons)
		return coupons == "[('after','WELCOME'),('before',NULL)]", fmt.Sprint(coupons, err)
	})
	lake := func(bucket string) string {
		return fmt.Sprintf("s3('%s/%s/purchases/**.parquet','%s','%s')", up.Env[env.S3Endpoint], bucket, up.Env[env.S3AccessKey], up.Env[env.S3SecretKey])
	}
	inLayer := func(bucket, id, coupon string) func() (bool, string) {
		return func() (bool, string) {
			var n uint64
			err := conn.QueryRow(t.Context(), fmt.Sprintf("SELECT count() FROM %s WHERE id = '%s' AND coupon_code = '%s' SETTINGS schema_inference_mode = 'union'", lake(bucket), id, coupon)).Scan(&n)
			return n == 1, fmt.Sprint(n, err)
		}
	}
	eventually(t, 30*time.Second, "RAW has the coupon", inLayer("shop-raw-data", "after", "WELCOME"))
	if output, err := shopConnect(t, up, "run-batch", "copy_raw_to_stage"); err != nil {
		t.Fatal(output, err)
	}
	eventually(t, 5*time.Second, "STAGE has the coupon", inLayer("shop-stage-data", "after", "WELCOME"))
	eventually(t, 30*time.Second, "Iceberg has the coupon", func() (bool, string) {
		var n uint64
		err := conn.QueryRow(t.Context(), fmt.Sprintf("SELECT count() FROM icebergS3('%s/analytics/analytics.db/purchase_product_facts/','%s','%s') WHERE id = 'after' AND coupon_code = 'WELCOME'",
			up.Env[env.S3Endpoint], up.Env[env.S3AccessKey], up.Env[env.S3SecretKey])).Scan(&n)
		return n == 1, fmt.Sprint(n, err)
	})

	// what stored rows do not fit is refused, in place and at the next start
	incompatible := strings.Replace(with("purchases"), "name: coupon_code\n    type: string\n    max_length: 40", "name: coupon_code\n    type: int64", 1)
	incompatible = strings.Replace(incompatible, "version: 2", "version: 3", 1)
	saveLikeAnEditor(t, filepath.Join(pipelines, "contracts", "purchases.yaml"), incompatible)
	saveLikeAnEditor(t, filepath.Join(pipelines, "marker.yaml"), ticker)
	eventually(t, 10*time.Second, "the watcher has passed the edit", func() (bool, string) {
		_, active, _ := stream(t, up, "marker")
		return active, ""
	})
	sell("later", `,"coupon_code":"STILL TEXT"`)
	eventually(t, 30*time.Second, "RAW has the later sale", inLayer("shop-raw-data", "later", "STILL TEXT"))
	const refusal = `field "coupon_code": was string, is int64`
	if output, err := shopConnect(t, up, "run-batch", "copy_raw_to_stage"); err == nil || !strings.Contains(output, refusal) {
		t.Errorf("staging by an incompatible contract: %v\n%s", err, output)
	}
	if err := up.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := upproc.Start(t.Context(), upproc.Config{Binary: binary, DataDir: data, Pipelines: pipelines}); err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("a start with an incompatible contract: %v", err)
	}
	saveLikeAnEditor(t, filepath.Join(pipelines, "contracts", "purchases.yaml"), with("purchases"))
	up = startUp(t, data, pipelines)
	conn = openClickHouse(t, up)
	if output, err := shopConnect(t, up, "run-batch", "copy_raw_to_stage"); err != nil {
		t.Fatal(output, err)
	}
	eventually(t, 5*time.Second, "STAGE has the later sale", inLayer("shop-stage-data", "later", "STILL TEXT"))
	if err := up.Stop(); err != nil {
		t.Error(err)
	}
}
