package webhook

import (
	"context"
	"net/http"
	"time"
)

const (
	// Budget is the time within which a request is answered where the webhook configurations allow two seconds, as they are shipped. The rest is for
	// the way there and back.
	Budget = 1500 * time.Millisecond
	// shippedTimeout is what the webhook configurations allow as they are shipped, longestTimeout what API servers let them allow.
	shippedTimeout, longestTimeout = 2 * time.Second, 30 * time.Second
)

type budgetKey struct{}

// withBudget notes how much of the time that the API server waits may be spent on the answer. It tells how long it waits, and who has changed that in the
// webhook configurations has given the handlers as much more or less.
func withBudget(ctx context.Context, r *http.Request) context.Context {
	waits, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || waits <= 0 {
		waits = shippedTimeout
	}
	return context.WithValue(ctx, budgetKey{}, share(min(waits, longestTimeout), Budget, shippedTimeout))
}

// budgetOf is the time for the whole answer to a request. Default: Budget.
func budgetOf(ctx context.Context) time.Duration {
	if budget, ok := ctx.Value(budgetKey{}).(time.Duration); ok {
		return budget
	}
	return Budget
}

// spend bounds one part of the work on an answer by what is, of Budget, its part: of a longer budget it is as much longer.
func spend(ctx context.Context, part time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, share(budgetOf(ctx), part, Budget))
}

// share is the part of d that part is of whole.
func share(d, part, whole time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(part) / float64(whole))
}
