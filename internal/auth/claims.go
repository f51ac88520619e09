package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// wireClaims is the payload of a token; scope is a space-separated list (RFC 8693, 4.2).
type wireClaims struct {
	Subject   string           `json:"sub"`
	Issuer    string           `json:"iss,omitempty"`
	Audience  jwt.ClaimStrings `json:"aud,omitempty"`
	ExpiresAt *numericDate     `json:"exp,omitempty"`
	NotBefore *numericDate     `json:"nbf,omitempty"`
	IssuedAt  *numericDate     `json:"iat,omitempty"`
	Scope     string           `json:"scope,omitempty"`
}

var _ jwt.ClaimsValidator = (*wireClaims)(nil)

// Validate runs after the checks of the registered claims.
func (c *wireClaims) Validate() error {
	if c.Subject == "" {
		return errors.New("sub is missing")
	}
	return nil
}

func (c *wireClaims) claims() Claims {
	claims := Claims{Subject: c.Subject, Scopes: strings.Fields(c.Scope), ExpiresAt: time.Time(*c.ExpiresAt)}
	if c.IssuedAt != nil {
		claims.IssuedAt = time.Time(*c.IssuedAt)
	}
	return claims
}

// The getters are how the parser reads the registered claims.

func (c *wireClaims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *wireClaims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *wireClaims) GetAudience() (jwt.ClaimStrings, error)       { return c.Audience, nil }
func (c *wireClaims) GetExpirationTime() (*jwt.NumericDate, error) { return c.ExpiresAt.library(), nil }
func (c *wireClaims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore.library(), nil }
func (c *wireClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.IssuedAt.library(), nil }

// numericDate is a time in whole seconds. The library's own takes numbers in quotes, and times that
// overflow; neither is a date (RFC 7519, 2).
type numericDate time.Time

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

func (d *numericDate) library() *jwt.NumericDate {
	if d == nil {
		return nil
	}
	return &jwt.NumericDate{Time: time.Time(*d)}
}

func (d numericDate) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, time.Time(d).Unix(), 10), nil
}

func (d *numericDate) UnmarshalJSON(text []byte) error {
	seconds, err := strconv.ParseFloat(string(text), 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		return fmt.Errorf("a time must be a number of seconds up to the year 9999, is %.20s", text)
	}
	*d = numericDate(time.Unix(int64(seconds), 0))
	return nil
}
