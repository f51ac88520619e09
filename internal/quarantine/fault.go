package quarantine

import (
	"fmt"
	"net/url"
	"strings"
)

// MetaFault is the user metadata of a quarantined object that says what is wrong with it as a whole.
const MetaFault = "Fault"

// maxFaultBytes leaves room for other metadata: S3 allows 2 KiB in all.
const maxFaultBytes = 1500

// EncodeFault makes a reason fit for an HTTP header: what is not printable ASCII becomes %XX. One that is too
// long loses its last parts.
func EncodeFault(reason string) string {
	encoded, kept := escape(reason), reason
	for len(encoded) > maxFaultBytes {
		cut := strings.LastIndex(kept, "; ")
		if cut <= 0 {
			cut = len(kept) * 3 / 4
		}
		kept = strings.ToValidUTF8(kept[:cut], "")
		encoded = escape(kept + "; …")
	}
	return encoded
}

func escape(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		if b < ' ' || b > '~' || b == '%' {
			_, _ = fmt.Fprintf(&out, "%%%02X", b)
			continue
		}
		out.WriteByte(b)
	}
	return out.String()
}

// DecodeFault reads what EncodeFault wrote; of another program's text it makes what it can.
func DecodeFault(encoded string) string {
	reason, err := url.PathUnescape(encoded)
	if err != nil {
		return encoded
	}
	return reason
}
