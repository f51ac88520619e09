package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
)

// FuzzKeySet holds the reader of key sets to what it promises of any document: it is refused, or all keys
// taken from it can verify tokens and serve the one algorithm that they are for. None is ever a secret: a
// public key taken for one would let anybody sign.
func FuzzKeySet(f *testing.F) {
	modulus := strings.Repeat("_", 342)
	for _, keys := range []string{
		``, `{}`, `null`, `{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}`,
		`{"kty":"OKP","crv":"Ed25519","kid":"a","x":"` + strings.Repeat("A", 43) + `"}`,
		`{"kty":"OKP","crv":"Ed25519","x":"AA"}`, `{"kty":"EC","crv":"P-256"}`,
		`{"kty":"RSA","kid":"b","n":"` + modulus + `","e":"AQAB","use":"sig","alg":"RS256"}`,
		`{"kty":"RSA","kid":"b","n":"` + modulus + `","e":"AQ"}`, `{"kty":"RSA","n":"AQ","e":"AQAB"}`,
		`{"kty":"RSA","kid":"c","n":"` + modulus + `","e":"AQAB","key_ops":["sign"]}`,
	} {
		f.Add([]byte(`{"keys":[` + keys + `]}`))
	}
	f.Add([]byte(`{"keys":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		set := keySet{}
		err := set.addJWKS(text)
		if !bytes.Equal(text, before) {
			t.Fatal("the document is changed")
		}
		if err == nil && len(set) == 0 {
			t.Fatalf("%q is taken and has no key", text)
		}
		for name, keys := range set {
			if len(keys.Keys) != 1 {
				t.Fatalf("%+v has %d keys", name, len(keys.Keys))
			}
			if fault := unfitFor(name.algorithm, keys.Keys[0]); fault != "" {
				t.Fatalf("%q: %+v %s", text, name, fault)
			}
		}
	})
}

func unfitFor(algorithm string, key any) (fault string) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if algorithm != algorithmRSA || key.N.BitLen() < minRSABits || key.N.BitLen() > maxRSABits || key.E < 3 || key.E%2 == 0 {
			return fmt.Sprintf("is RSA of %d bits with exponent %d", key.N.BitLen(), key.E)
		}
	case ed25519.PublicKey:
		if algorithm != algorithmEd25519 || len(key) != ed25519.PublicKeySize {
			return fmt.Sprintf("is Ed25519 of %d bytes", len(key))
		}
	default:
		return fmt.Sprintf("is a %T", key)
	}
	return ""
}
