package clickhouse

import (
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// preflight is the first query of clickhouse-go on every connection.
const preflight = "SELECT displayName(), version(), revision(), timezone()"

// answerPreflight writes the one block that the engine cannot: a server wraps blocks of Native by the revision that
// the client announces, and clickhouse-go expects that before it knows the server's. It is told revision 0, and
// reads plain Native, as the engine writes it, from then on.
func (c *conn) answerPreflight(out *response) error {
	var name, version string
	err := c.query("SELECT displayName(), version()", "TabSeparatedRaw", newParameters(nil), func(row []byte, _ *summary) error {
		name, version, _ = strings.Cut(strings.TrimSuffix(string(row), "\n"), "\t")
		return nil
	})
	if err != nil {
		return err
	}
	text := func(value string) *proto.ColStr {
		column := new(proto.ColStr)
		column.Append(value)
		return column
	}
	input := proto.Input{
		{Name: "displayName()", Data: text(name)},
		{Name: "version()", Data: text(version)},
		{Name: "revision()", Data: &proto.ColUInt32{0}},
		{Name: "timezone()", Data: text("UTC")},
	}
	var buffer proto.Buffer
	block := proto.Block{Info: proto.BlockInfo{BucketNum: -1}, Columns: len(input), Rows: 1}
	if err := block.EncodeBlock(&buffer, out.request.revision, input); err != nil {
		return fmt.Errorf("encoding the answer to a preflight: %w", err)
	}
	return out.emit(buffer.Buf, nil)
}
