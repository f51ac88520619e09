package clickhouse

import (
	"sync"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// claimedSignals are those that libchdb puts back to their defaults, at chdb_set_signal_handlers_enabled(0) as well
// as at every chdb_connect. The Go runtime turns them into panics, so losing them turns a panic into a crash.
var claimedSignals = [...]syscall.Signal{
	syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGBUS,
	syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGTSTP, syscall.SIGSYS,
}

// sigactionSize is larger than C's struct sigaction on every platform served (glibc: 152 bytes).
const sigactionSize = 256

// signalKeeper saves and restores handlers with libc's own sigaction, whose struct stays opaque here.
type signalKeeper struct {
	mutex     sync.Mutex // two at once would save each other's defaults
	sigaction func(signal int32, action, old unsafe.Pointer) int32
}

func newSignalKeeper() (*signalKeeper, error) {
	address, err := purego.Dlsym(purego.RTLD_DEFAULT, "sigaction")
	if err != nil {
		return nil, err
	}
	k := &signalKeeper{}
	purego.RegisterFunc(&k.sigaction, address)
	return k, nil
}

// around calls f and puts the handlers back as they were.
func (k *signalKeeper) around(f func()) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	var saved [len(claimedSignals)][sigactionSize]byte
	for i, signal := range claimedSignals {
		k.sigaction(int32(signal), nil, unsafe.Pointer(&saved[i]))
	}
	f()
	for i, signal := range claimedSignals {
		k.sigaction(int32(signal), unsafe.Pointer(&saved[i]), nil)
	}
}
