package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/store"
)

const someHash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"

func TestUsersAreKeptByName(t *testing.T) {
	s, ctx := open(t), t.Context()
	for _, name := range []string{"bob", "ann"} {
		if err := s.AddUser(ctx, name, someHash, []string{"read", "write"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddUser(ctx, "ann", someHash, []string{"admin"}); !errors.Is(err, store.ErrUserExists) {
		t.Errorf("the same name again: %v", err)
	}
	all, err := s.Users(ctx)
	if err != nil || len(all) != 2 || all[0].Name != "ann" || all[1].Name != "bob" {
		t.Errorf("users are %+v, %v", all, err)
	}
	ann, err := s.User(ctx, "ann")
	if err != nil || ann.PasswordHash != someHash || !slices.Equal(ann.Scopes, []string{"read", "write"}) || ann.DisabledAt != nil {
		t.Errorf("ann is %+v, %v", ann, err)
	}
	if _, err := s.User(ctx, "Ann"); !errors.Is(err, store.ErrNoUser) {
		t.Errorf("an unknown user: %v", err)
	}
	for name, change := range map[string]error{
		"disable": s.DisableUser(ctx, "eve"), "enable": s.EnableUser(ctx, "eve"), "password": s.SetPassword(ctx, "eve", someHash),
	} {
		if !errors.Is(change, store.ErrNoUser) {
			t.Errorf("%s of an unknown user: %v", name, change)
		}
	}
}

func TestI7WhatIsNoHashOrNoScopeIsNotStored(t *testing.T) {
	s, ctx := open(t), t.Context()
	if err := s.AddUser(ctx, "ann", "hunter22", []string{"read"}); err == nil {
		t.Error("a password in the clear is stored")
	}
	if err := s.AddUser(ctx, "ann", someHash, []string{"root"}); err == nil {
		t.Error("an unknown scope is stored")
	}
}

func TestTokensAreVoidFromTheSecondOfTheChange(t *testing.T) {
	s, ctx := open(t), t.Context()
	if err := s.AddUser(ctx, "ann", someHash, []string{"read"}); err != nil {
		t.Fatal(err)
	}
	voidBefore := func() (time.Time, bool) {
		t.Helper()
		void, err := s.VoidTokens(ctx)
		if err != nil {
			t.Fatal(err)
		}
		before, ok := void["ann"]
		return before, ok
	}
	if before, ok := voidBefore(); ok {
		t.Errorf("a new user's tokens are void before %v", before)
	}
	issued := time.Now().Truncate(time.Second)
	if err := s.SetPassword(ctx, "ann", someHash); err != nil {
		t.Fatal(err)
	}
	if before, _ := voidBefore(); !issued.Before(before) || before.Sub(issued) > time.Minute {
		t.Errorf("after another password, tokens are void before %v; one was issued at %v", before, issued)
	}
	if err := s.DisableUser(ctx, "ann"); err != nil {
		t.Fatal(err)
	}
	if before, _ := voidBefore(); before.Before(time.Now().AddDate(1000, 0, 0)) {
		t.Errorf("a disabled user's tokens are void before %v only", before)
	}
	if err := s.EnableUser(ctx, "ann"); err != nil {
		t.Fatal(err)
	}
	if before, ok := voidBefore(); !ok || before.After(time.Now().Add(time.Minute)) {
		t.Errorf("after enabling, tokens are void before %v", before)
	}
}
