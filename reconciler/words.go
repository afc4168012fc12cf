package reconciler

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/sluice-dev/sluice/api/v1beta1"
	"github.com/sluice-dev/sluice/reconciler/core"
)

// wordsEvery is how often the words of the Ready condition are stored while nothing else of the status changes. They count pods, and so change with
// each pod that comes and goes.
const wordsEvery = 5 * time.Second

// holdWords returns how long the status of a plan need not be stored yet; 0 when it is to be stored now. That is so of anything but new words for the
// same reason: those are no intent, and nothing is decided by them. Words that come with an event are stored with it, or it would be told again.
func holdWords(stored v1beta1.CanaryStatus, plan core.Plan, now time.Time) time.Duration {
	was, is := stored.Condition(v1beta1.ConditionReady), plan.Status.Condition(v1beta1.ConditionReady)
	if len(plan.Events) > 0 || was == nil || is == nil || was.Status != is.Status || was.Reason != is.Reason {
		return 0
	}
	same := plan.Status.DeepCopy()
	*same.Condition(v1beta1.ConditionReady) = *was
	if !equality.Semantic.DeepEqual(stored, *same) {
		return 0
	}
	// A time ahead of this clock is another clock's, and holds up nothing.
	since := now.Sub(was.LastUpdateTime.Time)
	if since < 0 || since >= wordsEvery {
		return 0
	}
	return wordsEvery - since
}
