//go:build !linux

package chaos

import "errors"

type smallDisk struct{}

func newSmallDisk(string) (*smallDisk, error) { return nil, errors.New("there is no tmpfs here") }

func (*smallDisk) fill() error  { return nil }
func (*smallDisk) clear() error { return nil }
func (*smallDisk) close()       {}
