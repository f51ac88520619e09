package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// keyring holds the current set of keys, and replaces it when the identity provider's keys change. The
// address of the set is its generation: whoever remembers a verdict remembers the set it was made with.
type keyring struct {
	current atomic.Pointer[keySet]
	secrets keySet
	source  *keySource // nil where there are secrets only
	now     func() time.Time

	mu        sync.Mutex // held while the source is read, so that one reading serves all who wait
	text      []byte     // what the current set was made of
	attempted time.Time
	succeeded time.Time
}

func newKeyring(secrets keySet, source *keySource) *keyring {
	k := &keyring{secrets: secrets, source: source, now: time.Now}
	k.current.Store(&secrets)
	return k
}

// lookup returns the keys of a name and the set that they are of. A provider's key that is not known
// may be new, and is looked for at the provider, as often as keysRefreshMin allows.
func (k *keyring) lookup(name keyName) (*keySet, any, error) {
	set := k.current.Load()
	if keys, ok := (*set)[name]; ok {
		return set, keys, nil
	}
	if k.source == nil || name.algorithm == algorithmHMAC {
		return nil, nil, fmt.Errorf("no %s key has the kid %.64q", name.algorithm, name.id)
	}
	if err := k.refreshFrom(set); err != nil {
		return nil, nil, err
	}
	set = k.current.Load()
	if keys, ok := (*set)[name]; ok {
		return set, keys, nil
	}
	return nil, nil, fmt.Errorf("no %s key has the kid %.64q", name.algorithm, name.id)
}

// refreshFrom reads the source unless another did meanwhile, or a moment ago.
func (k *keyring) refreshFrom(seen *keySet) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current.Load() != seen || k.now().Sub(k.attempted) < keysRefreshMin {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), keysTimeout)
	defer cancel()
	return k.read(ctx)
}

// refresh reads the source now.
func (k *keyring) refresh(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	return k.read(ctx)
}

// read replaces the current set. Where the source is away or its answer is no key set, the last good
// keys stay, for a time (I7).
func (k *keyring) read(ctx context.Context) error {
	k.attempted = k.now()
	text, err := k.source.read(ctx)
	if err == nil {
		err = k.replace(text)
	}
	if err == nil {
		k.succeeded = k.attempted
		return nil
	}
	if k.text != nil && k.attempted.Sub(k.succeeded) > keysMaxAge {
		k.current.Store(&k.secrets)
		k.text = nil
		err = errors.Join(err, fmt.Errorf("the keys are older than %v: no token of the identity provider is taken", keysMaxAge))
	}
	return err
}

func (k *keyring) replace(text []byte) error {
	if bytes.Equal(text, k.text) {
		return nil
	}
	set := maps.Clone(k.secrets)
	if err := set.addJWKS(text); err != nil {
		return fmt.Errorf("%s: %w", k.source.location, err)
	}
	k.current.Store(&set)
	k.text = text
	return nil
}

// follow reads the source every now and then until the context ends.
func (k *keyring) follow(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(keysRefresh)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := k.refresh(ctx); err != nil && ctx.Err() == nil {
			log.Warn("reading the identity provider's keys; the last good ones stay in use", "error", err)
		}
	}
}
