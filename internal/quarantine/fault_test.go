package quarantine_test

import (
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/quarantine"
)

func TestAFaultIsReadAsItWasWritten(t *testing.T) {
	for _, reason := range []string{
		`does not have the columns of contract "purchases" version 1: column "größe" is nested`,
		"100% wrong\r\nX-Injected: yes", `a\b`, "",
	} {
		encoded := quarantine.EncodeFault(reason)
		if strings.ContainsFunc(encoded, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q does not fit into a header", encoded)
		}
		if got := quarantine.DecodeFault(encoded); got != reason {
			t.Errorf("%q became %q", reason, got)
		}
	}
	if got := quarantine.DecodeFault("100% by hand"); got != "100% by hand" {
		t.Errorf("another program's text became %q", got)
	}
}

func TestALongFaultEndsBetweenItsParts(t *testing.T) {
	part := `column "` + strings.Repeat("ü", 100) + `" is not in the contract`
	encoded := quarantine.EncodeFault(strings.Repeat(part+"; ", 10) + "the end")
	got := quarantine.DecodeFault(encoded)
	if len(encoded) > 1500 || !strings.HasPrefix(got, part+"; ") || !strings.HasSuffix(got, part+"; …") {
		t.Errorf("%d bytes: %q", len(encoded), got)
	}
	if got := quarantine.EncodeFault(strings.Repeat("x", 9000)); len(got) > 1500 || !strings.HasPrefix(got, "xxx") {
		t.Errorf("one long part: %d bytes", len(got))
	}
}
