package authtest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}) }

// Good are tokens that the target takes, one for each of its keys. They make sure that attacks, which are
// made of them, fail for their own fault.
func (x *Target) Good(t testing.TB) map[string]string {
	t.Helper()
	return map[string]string{
		"HS256":                      x.hs(t, nil, nil),
		"HS256 of previous secret":   Sign(t, jwt.SigningMethodHS256, []byte(x.Config.PreviousSecret), nil, Claims(nil)),
		"RS256":                      x.rs(t, nil),
		"EdDSA":                      Sign(t, jwt.SigningMethodEdDSA, x.Ed25519, map[string]any{"kid": Ed25519KeyID}, Claims(nil)),
		"audience among several":     x.hs(t, nil, jwt.MapClaims{"aud": []string{"web", "api"}}),
		"without iat and nbf":        x.hs(t, nil, jwt.MapClaims{"iat": nil, "nbf": nil}),
		"expiry with a fraction":     x.hs(t, nil, jwt.MapClaims{"exp": float64(time.Now().Unix()) + 600.5}),
		"key in the header, unheard": x.hs(t, map[string]any{"jku": "https://evil.example/keys"}, nil),
	}
}

func (x *Target) hs(t testing.TB, header map[string]any, c jwt.MapClaims) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodHS256, []byte(x.Config.Secret), header, Claims(c))
}

func (x *Target) rs(t testing.TB, c jwt.MapClaims) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodRS256, x.RSA, map[string]any{"kid": RSAKeyID}, Claims(c))
}

// Attacks are tokens that must be refused, by the name of what is wrong with each.
func (x *Target) Attacks(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, some := range []map[string]string{x.spelling(t), x.algorithms(t), x.keys(t), x.claims(t)} {
		maps.Copy(all, some)
	}
	return all
}

// spelling attacks the parser.
func (x *Target) spelling(t testing.TB) map[string]string {
	valid := x.hs(t, nil, nil)
	part := strings.Split(valid, ".")
	attacks := map[string]string{
		"empty":                    "",
		"one part":                 part[0],
		"two parts":                part[0] + "." + part[1],
		"four parts":               valid + "." + part[2],
		"dot behind":               valid + ".",
		"dot before":               "." + valid,
		"dots":                     "..",
		"ten thousand dots":        strings.Repeat(".", 10_000),
		"no signature":             part[0] + "." + part[1] + ".",
		"no payload":               part[0] + ".." + part[2],
		"truncated signature":      valid[:len(valid)-2],
		"other signature":          part[0] + "." + part[1] + "." + encode(make([]byte, 32)),
		"changed payload":          part[0] + "." + encode([]byte(`{"sub":"admin","exp":99999999999}`)) + "." + part[2],
		"changed header":           encode([]byte(`{"typ":"JWT","alg":"HS256","x":1}`)) + "." + part[1] + "." + part[2],
		"padding":                  valid + "=",
		"padded parts":             part[0] + "==." + part[1] + "==." + part[2] + "=",
		"another last bit":         part[0] + "." + part[1] + "." + part[2][:42] + string(part[2][42]+1),
		"base64 of another kind":   part[0] + "." + base64.StdEncoding.EncodeToString([]byte(`{"sub":"???>>>"}`)) + "." + part[2],
		"space before":             " " + valid,
		"space behind":             valid + " ",
		"tab inside":               part[0] + ".\t" + part[1] + "." + part[2],
		"line break inside":        part[0] + ".\n" + part[1] + "." + part[2],
		"not base64":               "!!!." + part[1] + "." + part[2],
		"header not JSON":          encode([]byte("alg")) + "." + part[1] + "." + part[2],
		"header null":              encode([]byte("null")) + "." + part[1] + "." + part[2],
		"header an array":          encode([]byte(`["HS256"]`)) + "." + part[1] + "." + part[2],
		"payload not JSON":         part[0] + "." + encode([]byte("sub")) + "." + part[2],
		"nested a thousand deep":   encode([]byte(strings.Repeat("[", 1000))) + "." + part[1] + "." + part[2],
		"huge":                     x.hs(t, nil, jwt.MapClaims{"pad": strings.Repeat("x", 20_000)}),
		"unicode full stop":        strings.ReplaceAll(valid, ".", "\u3002"),
		"unicode look-alike":       strings.Replace(valid, "e", "\u0435", 1),
		"zero-width space":         valid + "\u200b",
		"null byte behind":         valid + "\x00",
		"null byte inside":         part[0] + ".\x00" + part[1] + "." + part[2],
		"invalid UTF-8":            "\xff\xfe." + part[1] + "." + part[2],
		"encrypted, not signed":    encode([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + "..AAAA.AAAA.AAAA",
		"JSON serialization":       `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`,
		"two tokens":               valid + "," + valid,
		"good token as a payload":  part[0] + "." + encode([]byte(valid)) + "." + part[2],
		"garbage behind signature": valid + "AAAA",
	}
	return attacks
}

// algorithms attacks the choice of the algorithm.
func (x *Target) algorithms(t testing.TB) map[string]string {
	valid := x.hs(t, nil, nil)
	part := strings.Split(valid, ".")
	asks := func(header string) string { return encode([]byte(header)) + "." + part[1] + "." }
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, provider := []byte(x.Config.Secret), map[string]any{"kid": RSAKeyID}
	attacks := map[string]string{
		"alg none":         Sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, Claims(nil)),
		"alg none, signed": asks(`{"typ":"JWT","alg":"none"}`) + part[2],
		"alg None":         asks(`{"typ":"JWT","alg":"None"}`),
		"alg NONE":         asks(`{"typ":"JWT","alg":"NONE"}`),
		"alg nOnE":         asks(`{"typ":"JWT","alg":"nOnE"}`),
		"alg none, kid":    asks(`{"typ":"JWT","alg":"none","kid":"` + RSAKeyID + `"}`),
		"alg empty":        asks(`{"typ":"JWT","alg":""}`),
		"alg absent":       asks(`{"typ":"JWT"}`) + part[2],
		"alg a number":     asks(`{"typ":"JWT","alg":256}`) + part[2],
		"alg an array":     asks(`{"typ":"JWT","alg":["HS256"]}`) + part[2],
		"alg lower case":   asks(`{"typ":"JWT","alg":"hs256"}`) + part[2],
		"alg twice":        asks(`{"alg":"HS256","alg":"none"}`),
		"alg HS384":        Sign(t, jwt.SigningMethodHS384, secret, nil, Claims(nil)),
		"alg HS512":        Sign(t, jwt.SigningMethodHS512, secret, nil, Claims(nil)),
		"alg RS384":        Sign(t, jwt.SigningMethodRS384, x.RSA, provider, Claims(nil)),
		"alg PS256":        Sign(t, jwt.SigningMethodPS256, x.RSA, provider, Claims(nil)),
		"alg ES256":        Sign(t, jwt.SigningMethodES256, ecKey, nil, Claims(nil)),
		"alg ES256, kid":   Sign(t, jwt.SigningMethodES256, ecKey, provider, Claims(nil)),
	}
	for form, text := range publicKeyTexts(t, &x.RSA.PublicKey) {
		attacks["RSA key as a secret, "+form] = Sign(t, jwt.SigningMethodHS256, text, provider, Claims(nil))
		attacks["RSA key as a secret without kid, "+form] = Sign(t, jwt.SigningMethodHS256, text, nil, Claims(nil))
	}
	public := x.Ed25519.Public().(ed25519.PublicKey)
	attacks["RSA modulus as a secret"] = Sign(t, jwt.SigningMethodHS256, x.RSA.N.Bytes(), provider, Claims(nil))
	attacks["Ed25519 key as a secret"] = Sign(t, jwt.SigningMethodHS256, []byte(public), map[string]any{"kid": Ed25519KeyID}, Claims(nil))
	return attacks
}

// keys attacks the choice of the key.
func (x *Target) keys(t testing.TB) map[string]string {
	ownSecret := []byte("the attacker's own key, thirty-two b")
	ownRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ownEd, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := func(header map[string]any) string {
		return Sign(t, jwt.SigningMethodHS256, ownSecret, header, Claims(nil))
	}
	ownRS := func(header map[string]any) string {
		return Sign(t, jwt.SigningMethodRS256, ownRSA, header, Claims(nil))
	}
	empty := func(kid string) string {
		return Sign(t, jwt.SigningMethodHS256, []byte{}, map[string]any{"kid": kid}, Claims(nil))
	}
	return map[string]string{
		"other secret":              own(nil),
		"retired secret":            Sign(t, jwt.SigningMethodHS256, []byte("the secret before the one before it"), nil, Claims(nil)),
		"empty secret":              Sign(t, jwt.SigningMethodHS256, []byte{}, nil, Claims(nil)),
		"embedded secret":           own(map[string]any{"jwk": Key{"kty": "oct", "k": encode(ownSecret)}}),
		"embedded RSA key":          ownRS(map[string]any{"jwk": RSA(RSAKeyID, &ownRSA.PublicKey)}),
		"embedded RSA key, kid":     ownRS(map[string]any{"kid": RSAKeyID, "jwk": RSA(RSAKeyID, &ownRSA.PublicKey)}),
		"embedded certificate":      ownRS(map[string]any{"kid": RSAKeyID, "x5c": []string{"MIIB"}}),
		"keys at the attacker's":    ownRS(map[string]any{"kid": RSAKeyID, "jku": "http://127.0.0.1:1/keys"}),
		"certificate at attacker's": ownRS(map[string]any{"kid": RSAKeyID, "x5u": "http://127.0.0.1:1/cert"}),
		"other RSA key":             ownRS(map[string]any{"kid": RSAKeyID}),
		"other Ed25519 key":         Sign(t, jwt.SigningMethodEdDSA, ownEd, map[string]any{"kid": Ed25519KeyID}, Claims(nil)),
		"RSA key without kid":       Sign(t, jwt.SigningMethodRS256, x.RSA, nil, Claims(nil)),
		"RSA key, kid of Ed25519":   Sign(t, jwt.SigningMethodRS256, x.RSA, map[string]any{"kid": Ed25519KeyID}, Claims(nil)),
		"Ed25519 key, kid of RSA":   Sign(t, jwt.SigningMethodEdDSA, x.Ed25519, map[string]any{"kid": RSAKeyID}, Claims(nil)),
		"right secret, wrong kid":   x.hs(t, map[string]any{"kid": "other"}, nil),
		"right secret, kid of RSA":  x.hs(t, map[string]any{"kid": RSAKeyID}, nil),
		"kid of a file":             empty("../../../../dev/null"),
		"kid of SQL":                empty("' UNION SELECT '' -- "),
		"kid of a URL":              empty("http://127.0.0.1:1/key"),
		"kid of a null byte":        x.hs(t, map[string]any{"kid": RSAKeyID + "\x00"}, nil),
		"kid empty":                 x.hs(t, map[string]any{"kid": ""}, nil),
		"kid null":                  x.hs(t, map[string]any{"kid": nil}, nil),
		"kid a number":              x.hs(t, map[string]any{"kid": 1}, nil),
		"kid an array":              x.hs(t, map[string]any{"kid": []string{RSAKeyID}}, nil),
		"kid huge":                  x.hs(t, map[string]any{"kid": strings.Repeat("k", 2000)}, nil),
		"critical extension":        x.hs(t, map[string]any{"crit": []string{"exp"}, "exp": 1}, nil),
		"crit empty":                x.hs(t, map[string]any{"crit": []string{}}, nil),
		"payload not encoded":       x.hs(t, map[string]any{"b64": false, "crit": []string{"b64"}}, nil),
		"b64 without crit":          x.hs(t, map[string]any{"b64": false}, nil),
	}
}

// claims attacks what a well signed token says.
func (x *Target) claims(t testing.TB) map[string]string {
	now := time.Now()
	attacks := map[string]string{}
	for name, change := range map[string]jwt.MapClaims{
		"expired":                 {"exp": now.Add(-time.Minute).Unix()},
		"without expiry":          {"exp": nil},
		"expiry null":             {"exp": (*int)(nil)},
		"expiry as text":          {"exp": "tomorrow"},
		"expiry in quotes":        {"exp": "9999999999"},
		"expiry negative":         {"exp": -1},
		"expiry zero":             {"exp": 0},
		"expiry beyond time":      {"exp": 1e300},
		"expiry overflowing":      {"exp": uint64(1<<63 + 1)},
		"expiry in milliseconds":  {"exp": now.Add(time.Hour).UnixMilli()},
		"expiry an array":         {"exp": []int64{now.Add(time.Hour).Unix()}},
		"expiry true":             {"exp": true},
		"not yet valid":           {"nbf": now.Add(time.Minute).Unix()},
		"not before as text":      {"nbf": "0"},
		"issued in the future":    {"iat": now.Add(time.Minute).Unix()},
		"issued as an object":     {"iat": map[string]any{}},
		"other issuer":            {"iss": "evil"},
		"issuer with a slash":     {"iss": "shop/"},
		"issuer in another case":  {"iss": "Shop"},
		"issuers":                 {"iss": []string{"shop"}},
		"without issuer":          {"iss": nil},
		"other audiences":         {"aud": []string{"web", "app"}},
		"audience among numbers":  {"aud": []any{"api", 1}},
		"audience an object":      {"aud": map[string]any{"api": true}},
		"audience as a substring": {"aud": "web api"},
		"no audiences":            {"aud": []string{}},
		"without audience":        {"aud": nil},
		"without subject":         {"sub": nil},
		"subject empty":           {"sub": ""},
		"subject not a string":    {"sub": 1},
		"scope not a string":      {"scope": map[string]any{"admin": true}},
		"scope an array":          {"scope": []string{"admin"}},
	} {
		attacks[name] = x.hs(t, nil, change)
	}
	attacks["expired at the provider"] = x.rs(t, jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()})
	attacks["the provider's, for another service"] = x.rs(t, jwt.MapClaims{"aud": "billing"})
	return attacks
}
