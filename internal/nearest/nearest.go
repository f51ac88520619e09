// Package nearest finds the name that a misspelt one was meant to be.
package nearest

import "iter"

// Of returns the known name that is closest to the given one, or "" where none is close.
func Of(given string, known iter.Seq[string]) string {
	best, nearest := tooFar, ""
	for name := range known {
		if d := distance(given, name); d < best || (d == best && best < tooFar && name < nearest) {
			best, nearest = d, name
		}
	}
	if best >= len(given)/2 {
		return ""
	}
	return nearest
}

const tooFar = 3

// distance is how many letters have to be added, taken away or replaced, at most tooFar.
func distance(a, b string) int {
	if len(a)-len(b) >= tooFar || len(b)-len(a) >= tooFar {
		return tooFar
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		above := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := above
			if a[i] != b[j] {
				replaced++
			}
			above = row[j+1]
			row[j+1] = min(replaced, above+1, row[j]+1)
		}
	}
	return min(row[len(b)], tooFar)
}
