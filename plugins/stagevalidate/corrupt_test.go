package stagevalidate

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestDamagedBytesNeverStopTheRun(t *testing.T) {
	l := newLake(t)
	rows := goodRows(0, 299)
	for i := range rows {
		if i%50 == 7 {
			rows[i].json = `{"id":"bad"}`
		}
	}
	whole := encode(t, "purchases", rows...)
	random := rand.New(rand.NewPCG(7, 7))
	for n := range 150 {
		damaged := slices.Clone(whole)
		for range 1 + random.IntN(8) {
			damaged[random.IntN(len(damaged))] = byte(random.Uint32())
		}
		// process fails the test where the message is in error; a fault of the object is none
		r := l.process(l.processor, l.put(rawKey("case-"+strconv.Itoa(n), 0), damaged))[0]
		if r.RowsIn != r.RowsOut+r.RowsRefused+r.RowsSkipped {
			t.Fatalf("got %+v", r)
		}
		if r.Fault != "" && r.RowsIn != 0 {
			t.Fatalf("got %+v", r)
		}
	}
}
