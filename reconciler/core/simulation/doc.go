// Package simulation plays random schedules of users, faults and restarts against the decision core and holds the promises against what comes of
// them. It serves tests only: nothing that runs in a cluster may import it.
//
// # What is modelled
//
// A World holds a Canary with its target, primary, Services, route, snapshots and one config, each as the API server stores it and as the
// controller's cache shows it, which may be older. Pods take time to start; workload controllers, endpoints and the traffic provider follow late;
// requests are sent by an old split until the data plane has followed the new one. Admission holds changes and fences routes, unless it is
// away. The controller gathers, decides with core.Decide and carries the plan out write by write, in the order of the real one: a write on
// something that has changed meanwhile is a conflict, and it may be killed between any two writes.
//
// Time jumps from one event to the next, so that nothing is computed while nothing can happen.
//
// # How to read it
//
// A schedule is a list of actions, made from a seed: schedule.go and actions.go. world.go moves the world on; workload.go, traffic.go, scaler.go,
// config.go and answers.go are its parts. controller.go, observe.go and carry.go are the model's reconciler. promises.go, plans.go, evidence.go and
// settled.go are what must hold; they keep books of their own and believe no word of the core. coverage.go counts what was visited, shrink.go
// makes a short story of a long one.
package simulation
