package load

import "time"

// When a shop sells: the night is quiet, lunch and evening are not, and Saturday beats Tuesday.
var (
	hourWeights = [24]float64{
		1.2, 0.7, 0.4, 0.3, 0.3, 0.5, 1.2, 2.4, 3.6, 4.6, 5.4, 6.0,
		6.6, 6.0, 5.2, 5.0, 5.2, 5.8, 6.8, 7.8, 8.2, 7.0, 4.6, 2.4,
	}
	weekdayWeights = [7]float64{
		time.Sunday: 1.10, time.Monday: 0.92, time.Tuesday: 0.86, time.Wednesday: 0.90,
		time.Thursday: 0.98, time.Friday: 1.22, time.Saturday: 1.40,
	}
)

const secondsPerHour = 3600

// rhythm hands out the moments of purchase in order, so many to each hour of the period.
type rhythm struct {
	slots []int64 // rows per hour of the period
	slot  int
	used  int64
}

// newRhythm spreads the rows over the days; every day is a little better or worse than its weekday.
func newRhythm(rows int64, days []time.Time, r *random) *rhythm {
	weights := make([]float64, 0, len(days)*24)
	var sum float64
	for _, day := range days {
		luck := 0.9 + 0.2*float64(r.below(1000))/1000
		for _, hour := range hourWeights {
			w := hour * weekdayWeights[day.Weekday()] * luck
			weights = append(weights, w)
			sum += w
		}
	}
	out := &rhythm{slots: make([]int64, len(weights))}
	var seen float64
	var given int64
	for i, w := range weights {
		seen += w
		upTo := int64(float64(rows) * seen / sum)
		if i == len(weights)-1 {
			upTo = rows
		}
		out.slots[i] = upTo - given
		given = upTo
	}
	return out
}

// next returns the day's index and the second of that day of the next row.
func (r *rhythm) next(jitter uint16) (day, second int) {
	for r.used == r.slots[r.slot] {
		r.slot, r.used = r.slot+1, 0
	}
	within := (uint64(r.used)<<16 + uint64(jitter)) * secondsPerHour / (uint64(r.slots[r.slot]) << 16)
	r.used++
	return r.slot / 24, r.slot%24*secondsPerHour + int(within)
}
