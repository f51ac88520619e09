package api

import (
	"context"
	"sync"
)

// DefaultMaxDatabaseRequests is some times the connections that there are to PostgreSQL: they are always
// at work, and whoever comes last still waits far less than storeTimeout.
const DefaultMaxDatabaseRequests = 128

// turns bounds the requests that a database has in hand. Without a bound, those beyond what it serves
// would wait until nearly all of them time out, and the work on each was for nothing.
type turns chan struct{}

// turnKey is where the context of a request says that it has its turn.
type turnKey struct{}

// enter takes a turn; ok is false where all are taken, and the request is to be refused at once. Who has a
// turn already, says its context, needs no other. What a client sends must have arrived before: a slow one
// would keep others waiting.
func (t turns) enter(ctx context.Context) (entered context.Context, leave func(), ok bool) {
	if ctx.Value(turnKey{}) == t {
		return ctx, func() {}, true
	}
	select {
	case t <- struct{}{}:
		return context.WithValue(ctx, turnKey{}, t), sync.OnceFunc(func() { <-t }), true
	default:
		return ctx, nil, false
	}
}

// tooMany is what those beyond are told.
func tooMany() *Problem {
	return Unavailable("the database has too many requests in hand; send it again")
}

// inTurn lets an operation in while there is room.
func inTurn[I, O any](t turns, handler func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		ctx, leave, ok := t.enter(ctx)
		if !ok {
			return nil, tooMany()
		}
		defer leave()
		return handler(ctx, in)
	}
}
