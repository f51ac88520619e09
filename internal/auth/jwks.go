package auth

import (
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// The sizes of RSA keys that are taken: shorter is unsafe, longer only costs.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// jwk is one key of a JSON Web Key Set (RFC 7517), as far as keys that verify tokens need it.
type jwk struct {
	Type       string   `json:"kty"`
	ID         string   `json:"kid"`
	Algorithm  string   `json:"alg"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Curve      string   `json:"crv"`
	N          base64x  `json:"n"`
	E          base64x  `json:"e"`
	X          base64x  `json:"x"`
}

// base64x is bytes in the base64 of JOSE.
type base64x []byte

func (b *base64x) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.DecodeString(string(text))
	return err
}

// addJWKS adds the keys of a key set that can verify tokens. Providers publish others beside them,
// which are left alone; a set in which none is left, or two have one name, is an error.
func (s keySet) addJWKS(text []byte) error {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return fmt.Errorf("reading key set: %w", err)
	}
	added := 0
	var unfit []error
	for _, k := range set.Keys {
		algorithm, key, err := k.key()
		if err != nil {
			unfit = append(unfit, fmt.Errorf("key %.64q: %w", k.ID, err))
			continue
		}
		if _, taken := s[keyName{algorithm, k.ID}]; taken {
			return fmt.Errorf("reading key set: two %s keys have the kid %.64q", algorithm, k.ID)
		}
		s.add(algorithm, k.ID, key)
		added++
	}
	if added == 0 {
		return errors.Join(errors.New("reading key set: it has no key that verifies RS256 or EdDSA"), errors.Join(unfit...))
	}
	return nil
}

// key returns the public key, and the one algorithm that it is for.
func (k jwk) key() (algorithm string, key any, err error) {
	if k.Use != "" && k.Use != "sig" || k.Operations != nil && !slices.Contains(k.Operations, "verify") {
		return "", nil, errors.New("is not for signatures")
	}
	switch {
	case k.Type == "RSA" && (k.Algorithm == "" || k.Algorithm == algorithmRSA):
		key, err = k.rsa()
		return algorithmRSA, key, err
	case k.Type == "OKP" && k.Curve == "Ed25519" && (k.Algorithm == "" || k.Algorithm == algorithmEd25519 || k.Algorithm == "Ed25519"): // RFC 9864
		if len(k.X) != ed25519.PublicKeySize {
			return "", nil, fmt.Errorf("has %d bytes, Ed25519 has %d", len(k.X), ed25519.PublicKeySize)
		}
		return algorithmEd25519, ed25519.PublicKey(k.X), nil
	}
	return "", nil, fmt.Errorf("is of kty %.16q, alg %.16q", k.Type, k.Algorithm)
}

func (k jwk) rsa() (*rsa.PublicKey, error) {
	n, e := new(big.Int).SetBytes(k.N), new(big.Int).SetBytes(k.E)
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("has %d bits, from %d to %d are taken", bits, minRSABits, maxRSABits)
	}
	if e.BitLen() > 31 || e.Bit(0) == 0 || e.Cmp(big.NewInt(3)) < 0 {
		return nil, errors.New("has an exponent that no RSA key has")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}
