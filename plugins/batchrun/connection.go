package batchrun

import (
	"reflect"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// connectionError returns why an input cannot connect, nil where it can or will not say. Connect keeps
// it, but shows it in its log only; a run's ledger is where people look. The types are internal to
// Connect, hence reflection: should they change, the reason of a failed run says less.
func connectionError(child *service.OwnedInput) (err error) {
	defer func() {
		if recover() != nil {
			err = nil
		}
	}()
	streamed := reflect.ValueOf(child.XUnwrapper()).MethodByName("Unwrap").Call(nil)[0]
	statuses := streamed.MethodByName("ConnectionStatus").Call(nil)[0]
	for i := range statuses.Len() {
		status := statuses.Index(i).Elem()
		if cause, ok := reflect.TypeAssert[error](status.FieldByName("Err")); ok {
			return cause
		}
	}
	return nil
}
