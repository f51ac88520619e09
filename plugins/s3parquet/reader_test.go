package s3parquet_test

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// TestAnotherReaderSeesExactlyWhatWasSent has ClickHouse read the objects from the store.
func TestAnotherReaderSeesExactlyWhatWasSent(t *testing.T) {
	s, bucket := newBucket(t)
	const n = 20_000
	var batch []*service.Message
	sum := new(big.Int)
	for i := range n {
		// 18 digits each: no float holds them, nor their sum
		whole, decimals := 9_999_999_999*10_000+int64(i%10_000), int64(i*7%9_999)
		sum.Add(sum, big.NewInt(whole*10_000+decimals))
		batch = append(batch, sent(i%2, i, fmt.Sprintf(
			`{"id":"p-%d","product_id":"P%d","customer_id":%d,"seller_id":-9223372036854775807,"quantity":%d,"price_at_time":"%d.%04d","purchased_at":"2023-11-0%dT05:20:48.%06dZ"}`,
			i, i%7, i, int64(9_223_372_036_854_775_807)*int64(i%2), whole, decimals, 1+i%3, i)))
	}
	batch = append(batch, sent(0, n, `{"id":"p-1","deleted":true}`), sent(1, n+1, `{}`))
	write(t, raw(t, s, bucket), batch...)

	clickhouse := startEngine(t)
	table := fmt.Sprintf("s3('%s/%s/purchases/**.parquet', '%s', '%s', 'Parquet')", s.Endpoint, bucket, s.AccessKey, s.SecretKey)
	money := sum.String()
	money = money[:len(money)-4] + "." + money[len(money)-4:]
	for _, c := range []struct{ columns, where, want string }{
		{"toInt32(count()) AS n, toInt32(countIf(deleted)) AS d, toInt32(count(product_id)) AS p, toInt32(uniqExact(id)) AS ids", "1", `{"n":20002,"d":1,"p":20000,"ids":20001}`},
		{"toString(sum(toDecimal128(price_at_time, 4))) AS s", "1", `{"s":"` + money + `"}`},
		{"toTypeName(any(price_at_time)) AS p, toTypeName(any(purchased_at)) AS at, toTypeName(any(_timestamp)) AS k", "1",
			`{"p":"Nullable(Decimal(18, 4))","at":"Nullable(DateTime64(6, 'UTC'))","k":"DateTime64(6, 'UTC')"}`},
		{"toString(seller_id) AS s, toString(quantity) AS q, toString(purchased_at) AS at", "id = 'p-12345'",
			`{"s":"-9223372036854775807","q":"9223372036854775807","at":"2023-11-01 05:20:48.012345"}`},
		{"toString(_partition) AS p, toString(_offset) AS o, toString(_timestamp) AS k, _topic AS t", "id = 'p-12345'",
			`{"p":"1","o":"12345","k":"2023-11-20 23:30:00.000000","t":"purchases"}`},
		{"id, product_id IS NULL AS none, _value AS v", "_offset = 20001", `{"id":"purchases-1-20001","none":1,"v":"{}"}`},
	} {
		got, err := clickhouse.query(fmt.Sprintf("SELECT %s FROM %s WHERE %s", c.columns, table, c.where))
		if err != nil || got != c.want {
			t.Errorf("%s where %s:\n%s, want\n%s (%v)", c.columns, c.where, got, c.want, err)
		}
	}
}
