package s3parquet

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/shop-connect/shop-connect/internal/columns"
)

// suffix is what the names of all objects end in.
const suffix = ".parquet"

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// name is an object's name below its folder. It depends on nothing but the batch, so that a batch that is
// redelivered overwrites itself.
func (p place) name(firstOffset int64) string {
	return p.topic + "-" + strconv.Itoa(int(p.partition)) + "-" + strconv.FormatInt(firstOffset, 10) + suffix
}

// part is the rows of a batch that are of one partition.
type part struct {
	place
	// first is the lowest offset.
	first int64
	days  map[int32]*object
}

// object is the rows of a part that go into one object, one or more.
type object struct {
	*part
	day int32
	// rows are row numbers of the batch, in offset order.
	rows []int32
}

// split groups the rows of a batch by partition and, where days have folders, by business day.
func split(b *columns.Batch, byDay bool) []*object {
	var objects []*object
	parts := map[place]*part{}
	var current *part
	for row := range b.Len {
		pos, day := &b.Position[row], int32(0)
		if byDay {
			day = b.Day[row]
		}
		// rows of a partition come in runs
		if current == nil || current.partition != pos.Partition || current.topic != pos.Topic {
			id := place{pos.Topic, pos.Partition}
			if current = parts[id]; current == nil {
				current = &part{place: id, first: math.MaxInt64, days: map[int32]*object{}}
				parts[id] = current
			}
		}
		current.first = min(current.first, pos.Offset)
		o := current.days[day]
		if o == nil {
			o = &object{part: current, day: day}
			current.days[day] = o
			objects = append(objects, o)
		}
		o.rows = append(o.rows, int32(row))
	}
	for _, o := range objects {
		slices.SortFunc(o.rows, func(x, y int32) int { return cmp.Compare(b.Position[x].Offset, b.Position[y].Offset) })
	}
	return objects
}
