package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// The algorithms that keys can be of. A key is of one: what a token's header asks for is not followed,
// it only has to agree.
const (
	algorithmHMAC    = "HS256"
	algorithmRSA     = "RS256"
	algorithmEd25519 = "EdDSA"
)

// MinSecretBytes is the shortest secret that HS256 is safe with: as long as its hash (RFC 7518, 3.2).
const MinSecretBytes = 32

// keyName is what picks a key. The algorithm is part of it, so that no key serves another than its own.
type keyName struct{ algorithm, id string }

// keySet holds all keys that are valid at one time. It never changes: new keys are a new set.
type keySet map[keyName]jwt.VerificationKeySet

func (s keySet) add(algorithm, id string, key jwt.VerificationKey) {
	name := keyName{algorithm, id}
	s[name] = jwt.VerificationKeySet{Keys: append(s[name].Keys, key)}
}

// addSecret makes a secret known by its id, and to tokens that name no key, which programs that share
// the secret may sign.
func (s keySet) addSecret(secret string) {
	s.add(algorithmHMAC, secretID(secret), []byte(secret))
	s.add(algorithmHMAC, "", []byte(secret))
}

// secretID is the kid of a secret. Derived, so that changing the secret changes it, and no setting can
// be at odds with the secret that it names. It tells of the secret no more than a signature does.
func secretID(secret string) string {
	hash := sha256.Sum256([]byte("kid of " + secret))
	return base64.RawURLEncoding.EncodeToString(hash[:9])
}

// checkSecret enforces I7: an empty or guessable secret is an error at start.
func checkSecret(name, secret string) error {
	switch n := len(secret); {
	case n == 0:
		return fmt.Errorf("jwt %s: is empty; set JWT_SECRET to at least 32 random bytes, for example from `openssl rand -base64 48`", name)
	case n < MinSecretBytes:
		return fmt.Errorf("jwt %s: has %d bytes, HS256 needs at least %d; make one with `openssl rand -base64 48`", name, n, MinSecretBytes)
	}
	return nil
}

// checkSecrets checks the secret, and the one before it where there is one.
func checkSecrets(secret, previous string) error {
	err := checkSecret("secret", secret)
	if previous == "" {
		return err
	}
	if previous == secret {
		err = errors.Join(err, errors.New("jwt previous_secret: is the same as secret; set it to the secret that was in use before, or leave it empty"))
	}
	return errors.Join(err, checkSecret("previous_secret", previous))
}
