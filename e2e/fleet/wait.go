package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// waitTimeout bounds each wait. It is for defects, not for measuring.
	waitTimeout = 15 * time.Minute
	// rewatch is the pause before a watch that ended is opened again.
	rewatch = 200 * time.Millisecond
	// shown is how many of those that keep others waiting an error names.
	shown = 5
)

// state tells whether an object is as it is waited for, and in words how it is.
type state func(client.Object) (done bool, how string)

// await watches objects of a kind until each of the names has been as wanted
// once, and returns when each was first seen so. The kind of the list is the
// kind of the objects.
func (b *bench) await(ctx context.Context, list client.ObjectList, what string, names []string, is state) (map[string]time.Time, error) {
	waiting, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	w := wait{is: is, how: map[string]string{}, done: map[string]time.Time{}}
	for _, name := range names {
		w.how[name] = "not there"
	}
	for {
		err := b.watchOnce(waiting, list, &w)
		if len(w.how) == 0 {
			return w.done, nil
		}
		if waiting.Err() != nil {
			if err == nil {
				err = waiting.Err()
			}
			return nil, fmt.Errorf("wait until %s: %w; %s", what, err, w.missing())
		}
		select {
		case <-waiting.Done():
		case <-time.After(rewatch):
		}
	}
}

// watchOnce follows one watch to its end, or until nothing is missing.
func (b *bench) watchOnce(ctx context.Context, list client.ObjectList, w *wait) error {
	// Without a resource version a watch begins with what there is.
	events, err := b.client.Watch(ctx, list, client.InNamespace(namespaceOf(list)))
	if err != nil {
		return err
	}
	defer events.Stop()
	for len(w.how) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-events.ResultChan():
			if !open || event.Type == watch.Error {
				return nil
			}
			if o, is := event.Object.(client.Object); is && event.Type != watch.Deleted {
				w.see(o, time.Now())
			}
		}
	}
	return nil
}

// wait is what is known of the objects that are waited for.
type wait struct {
	is state
	// how those are that are not as wanted yet, by name.
	how map[string]string
	// done is when the others were seen as wanted.
	done map[string]time.Time
}

func (w *wait) see(o client.Object, at time.Time) {
	if _, missing := w.how[o.GetName()]; !missing {
		return
	}
	done, how := w.is(o)
	if !done {
		w.how[o.GetName()] = how
		return
	}
	delete(w.how, o.GetName())
	w.done[o.GetName()] = at
}

// missing describes those that are not as wanted, and names a few.
func (w *wait) missing() string {
	var few []string
	for name, how := range w.how {
		few = append(few, name+": "+how)
	}
	slices.Sort(few)
	return fmt.Sprintf("%d are, %d are not, such as %s", len(w.done), len(w.how), strings.Join(few[:min(shown, len(few))], "; "))
}
