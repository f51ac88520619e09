package icebergsink

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"

	"github.com/shop-connect/shop-connect/internal/money"
)

// literal is the value as iceberg-go's transforms take it.
func (v value) literal(t iceberg.Type) iceberg.Literal {
	switch t.(type) {
	case iceberg.StringType:
		return iceberg.StringLiteral(v.text)
	case iceberg.DateType:
		return iceberg.DateLiteral(iceberg.Date(v.num))
	case iceberg.TimestampTzType:
		return iceberg.TimestampLiteral(iceberg.Timestamp(v.num))
	case iceberg.DecimalType:
		return iceberg.DecimalLiteral{Val: decimal128.FromI64(v.num), Scale: money.Scale}
	case iceberg.BooleanType:
		return iceberg.BoolLiteral(v.num != 0)
	default:
		return iceberg.Int64Literal(v.num)
	}
}

// fromLiteral reads what a transform made of a value.
func fromLiteral(o iceberg.Optional[iceberg.Literal]) value {
	if !o.Valid {
		return value{null: true}
	}
	switch l := o.Val.(type) {
	case iceberg.Int32Literal:
		return value{num: int64(l)}
	case iceberg.Int64Literal:
		return value{num: int64(l)}
	case iceberg.DateLiteral:
		return value{num: int64(l)}
	case iceberg.TimestampLiteral:
		return value{num: int64(l)}
	case iceberg.DecimalLiteral:
		return value{num: int64(l.Val.LowBits())}
	case iceberg.BoolLiteral:
		if l {
			return value{num: 1}
		}
		return value{}
	default:
		return value{text: l.String()}
	}
}

// fromArrow reads row i of a column that a scan returned.
func fromArrow(a arrow.Array, i int) (value, error) {
	if a.IsNull(i) {
		return value{null: true}, nil
	}
	switch a := a.(type) {
	case *array.String:
		return value{text: a.Value(i)}, nil
	case *array.LargeString:
		return value{text: a.Value(i)}, nil
	case *array.Int64:
		return value{num: a.Value(i)}, nil
	case *array.Date32:
		return value{num: int64(a.Value(i))}, nil
	case *array.Timestamp:
		return value{num: int64(a.Value(i))}, nil
	case *array.Decimal128:
		return value{num: int64(a.Value(i).LowBits())}, nil
	case *array.Boolean:
		if a.Value(i) {
			return value{num: 1}, nil
		}
		return value{}, nil
	}
	return value{}, fmt.Errorf("reading a column of type %s: no contract has such a type", a.DataType())
}

// appendTo adds the value to a column that is being built.
func (v value) appendTo(b array.Builder) {
	if v.null {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(v.text)
	case *array.Int64Builder:
		b.Append(v.num)
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.num))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.num))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(v.num))
	case *array.BooleanBuilder:
		b.Append(v.num != 0)
	}
}
