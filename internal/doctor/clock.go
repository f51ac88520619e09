package doctor

import "time"

// Signatures of S3 fail at 15 minutes of difference; tokens live for 30.
const (
	skewWarning = time.Minute
	skewFault   = 5 * time.Minute
)

// clockOf compares a server's clock with the one of this machine in the middle of the question.
func clockOf(theirs, asked, answered time.Time) Finding {
	ours := asked.Add(answered.Sub(asked) / 2)
	skew := theirs.Sub(ours)
	direction := "ahead of"
	if skew < 0 {
		direction, skew = "behind", -skew
	}
	const do = "let both machines keep time with NTP (chronyc tracking, timedatectl); see on the other servers' lines which of them is off"
	switch {
	case skew > skewFault:
		return fault(do, "its clock is %s %s this machine's: S3 refuses signatures from 15 min on", ago(skew), direction)
	case skew > skewWarning:
		return warning(do, "its clock is %s %s this machine's", ago(skew), direction)
	}
	return fine("its clock agrees with this machine's")
}
