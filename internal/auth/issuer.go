package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// DefaultTTL is how long a token is good for.
const DefaultTTL = 30 * time.Minute

// IssuerConfig says what the tokens carry besides subject and scopes.
type IssuerConfig struct {
	// Secret is the HS256 key, at least MinSecretBytes long.
	Secret string
	// Issuer and Audience become iss and aud where they are not empty.
	Issuer, Audience string
	// TTL is how long a token is good for.
	TTL time.Duration
}

// Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	config IssuerConfig
}

// NewIssuer reports every fault of its config at once.
func NewIssuer(c IssuerConfig) (*Issuer, error) {
	faults := checkSecret("secret", c.Secret)
	if c.TTL < time.Second {
		faults = errors.Join(faults, fmt.Errorf("token lifetime: must be at least 1s, is %v", c.TTL))
	}
	if faults != nil {
		return nil, faults
	}
	return &Issuer{config: c}, nil
}

// TTL is how long the issued tokens are good for.
func (i *Issuer) TTL() time.Duration { return i.config.TTL }

// Issue signs a token.
func (i *Issuer) Issue(subject string, scopes []string) (string, error) {
	now := time.Now()
	issued, expires := numericDate(now), numericDate(now.Add(i.config.TTL))
	claims := &wireClaims{
		Subject: subject, Issuer: i.config.Issuer, IssuedAt: &issued, ExpiresAt: &expires, Scope: strings.Join(scopes, " "),
	}
	if i.config.Audience != "" {
		claims.Audience = jwt.ClaimStrings{i.config.Audience}
	}
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	unsigned.Header["kid"] = secretID(i.config.Secret)
	token, err := unsigned.SignedString([]byte(i.config.Secret))
	if err != nil {
		return "", fmt.Errorf("signing token: %w", err)
	}
	return token, nil
}
