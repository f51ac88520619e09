package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxTokenBytes bounds the work that an unauthenticated client can ask for.
	maxTokenBytes = 4096

	// cachedTokens bounds the memory of verified tokens, to cachedTokens times maxTokenBytes at worst.
	cachedTokens = 8192
)

// VerifierConfig says which tokens are good.
type VerifierConfig struct {
	// Secret is the HS256 key, at least MinSecretBytes long. It may be empty where there is a JWKS.
	Secret string
	// PreviousSecret is the HS256 key that Secret took the place of: its tokens are good until they expire.
	PreviousSecret string
	// JWKS is the file or URL of an identity provider's keys, for RS256 and EdDSA.
	JWKS string
	// Issuer and Audience are asked of every token where they are not empty. With a JWKS they must not be:
	// a provider signs tokens for other services too.
	Issuer, Audience string
	// Leeway forgives clocks that differ: by so much an expired or not yet valid token is still good.
	Leeway time.Duration
}

// Verifier checks tokens. It is safe for concurrent use.
//
// A signature costs 11 µs, so tokens that were found good are remembered, whole: a hit is a token that
// is equal in every byte, and its expiry, the keys and what was revoked are checked again each time.
type Verifier struct {
	keys     *keyring
	parser   *jwt.Parser
	leeway   time.Duration
	now      func() time.Time
	verified *lru.Cache[string, verdict]
	revoked  atomic.Pointer[Revocations]
}

// verdict is a good token's claims, and the keys that made it good.
type verdict struct {
	claims Claims
	keys   *keySet
}

// NewVerifier reports every fault of its config at once.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	faults := c.check()
	verified, err := lru.New[string, verdict](cachedTokens)
	if faults = errors.Join(faults, err); faults != nil {
		return nil, faults
	}
	secrets, methods := keySet{}, []string(nil)
	var source *keySource
	if c.Secret != "" {
		methods = append(methods, algorithmHMAC)
		secrets.addSecret(c.Secret)
		if c.PreviousSecret != "" {
			secrets.addSecret(c.PreviousSecret)
		}
	}
	if c.JWKS != "" {
		methods = append(methods, algorithmRSA, algorithmEd25519)
		source = newKeySource(c.JWKS)
	}
	v := &Verifier{keys: newKeyring(secrets, source), leeway: c.Leeway, now: time.Now, verified: verified}
	v.revoked.Store(&Revocations{})
	options := []jwt.ParserOption{
		jwt.WithValidMethods(methods),
		jwt.WithStrictDecoding(), // one token has one spelling
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(c.Leeway),
		jwt.WithTimeFunc(func() time.Time { return v.now() }),
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	v.parser = jwt.NewParser(options...)
	return v, nil
}

func (c VerifierConfig) check() error {
	var faults []error
	if c.JWKS == "" || c.Secret != "" || c.PreviousSecret != "" {
		faults = append(faults, checkSecrets(c.Secret, c.PreviousSecret))
	}
	if c.JWKS != "" {
		faults = append(faults, checkKeySource(c.JWKS))
		if c.Issuer == "" || c.Audience == "" {
			faults = append(faults, errors.New("jwt jwks: needs issuer and audience too: the provider signs tokens for other services with the same keys"))
		}
	}
	if c.Leeway < 0 || c.Leeway > 5*time.Minute {
		faults = append(faults, fmt.Errorf("jwt leeway: must be from 0s to 5m, is %v", c.Leeway))
	}
	return errors.Join(faults...)
}

// LoadKeys reads the identity provider's keys, where there is one. Until it has, none of the provider's
// tokens is good.
func (v *Verifier) LoadKeys(ctx context.Context) error {
	if v.keys.source == nil {
		return nil
	}
	if err := v.keys.refresh(ctx); err != nil {
		return fmt.Errorf("loading jwt.jwks, which must be there at start: %w", err)
	}
	return nil
}

// FollowKeys keeps the identity provider's keys up to date until the context ends.
func (v *Verifier) FollowKeys(ctx context.Context, log *slog.Logger) {
	if v.keys.source != nil {
		v.keys.follow(ctx, log)
	}
}

// Verify returns the claims of a good token. Any other gives an error that wraps ErrToken and is not
// for the eyes of the client.
func (v *Verifier) Verify(token string) (Claims, error) {
	if known, ok := v.verified.Get(token); ok {
		if known.keys == v.keys.current.Load() {
			return v.recheck(token, known.claims)
		}
		v.verified.Remove(token)
	}
	if len(token) > maxTokenBytes {
		return Claims{}, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrToken, len(token), maxTokenBytes)
	}
	var wire wireClaims
	var used *keySet
	_, err := v.parser.ParseWithClaims(token, &wire, func(t *jwt.Token) (keys any, err error) {
		used, keys, err = v.keysOf(t)
		return keys, err
	})
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	claims := wire.claims()
	if v.isRevoked(claims) {
		return Claims{}, fmt.Errorf("%w: it is revoked", ErrToken)
	}
	v.verified.Add(token, verdict{claims, used})
	return claims, nil
}

// recheck is for what can have changed about a token whose signature is known to be good.
func (v *Verifier) recheck(token string, claims Claims) (Claims, error) {
	var fault string
	switch {
	case !v.now().Before(claims.ExpiresAt.Add(v.leeway)):
		fault = "it has expired"
	case v.isRevoked(claims):
		fault = "it is revoked"
	default:
		return claims, nil
	}
	v.verified.Remove(token)
	return Claims{}, fmt.Errorf("%w: %s", ErrToken, fault)
}

// unsupported are headers that change what a token means (RFC 7515, 4.1.11; RFC 7797).
var unsupported = []string{"crit", "b64"}

// keysOf picks the key by algorithm and kid; whatever keys a header brings along or points to (jwk, jku,
// x5c, x5u) are not looked at.
func (v *Verifier) keysOf(t *jwt.Token) (*keySet, any, error) {
	for _, name := range unsupported {
		if _, has := t.Header[name]; has {
			return nil, nil, fmt.Errorf("its header has %s", name)
		}
	}
	id, ok := t.Header["kid"].(string)
	if _, has := t.Header["kid"]; has && (!ok || id == "") {
		return nil, nil, errors.New("its kid is not a name")
	}
	return v.keys.lookup(keyName{t.Method.Alg(), id})
}
