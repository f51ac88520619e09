package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a password: 19 MiB and about 20 ms, which OWASP recommends as the least.
const (
	hashMemory  = 19 * 1024 // KiB
	hashPasses  = 2
	hashThreads = 1
	hashBytes   = 32
	saltBytes   = 16
)

// The most that a stored hash may cost, so that one from elsewhere cannot take the machine.
const (
	maxHashMemory  = 64 * 1024
	maxHashPasses  = 10
	maxHashThreads = 4
)

const hashFormat = "$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s"

// HashPassword hashes a password for storage, with argon2id in the PHC string format.
func HashPassword(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	hash := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashThreads, hashBytes)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf(hashFormat, argon2.Version, hashMemory, hashPasses, hashThreads, encode(salt), encode(hash))
}

// passwordHash is a stored hash, taken apart.
type passwordHash struct {
	memory, passes uint32
	threads        uint8
	salt, hash     []byte
}

// parseHash takes hashes of other costs than ours, so that costs can change.
func parseHash(text string) (h passwordHash, err error) {
	malformed := errors.New("reading password hash: it is not argon2id in the PHC format; set the password again with `shop-connect user passwd`")
	part := strings.Split(text, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, malformed
	}
	if n, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.threads); err != nil || n != 3 {
		return h, malformed
	}
	var saltErr, hashErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(part[4])
	h.hash, hashErr = base64.RawStdEncoding.DecodeString(part[5])
	if saltErr != nil || hashErr != nil || len(h.salt) < 8 || len(h.hash) < saltBytes || len(h.hash) > 64 ||
		h.passes < 1 || h.passes > maxHashPasses || h.threads < 1 || h.threads > maxHashThreads || h.memory > maxHashMemory {
		return h, malformed
	}
	return h, nil
}

// matches takes the same time whatever the password has in common with the right one.
func (h passwordHash) matches(password string) bool {
	got := argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(len(h.hash)))
	return subtle.ConstantTimeCompare(got, h.hash) == 1
}
