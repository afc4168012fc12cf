// Package stories holds what Sluice's users live through, played on a real cluster with real traffic: each test is one story, told from the
// outside with kubectl's verbs and judged by what users were served. How Sluice does it is tested where it is done.
//
// The tests are behind the build tag e2e. They run on a local cluster of their own that ends with them, or on the one that E2E_KUBECONFIG
// names. A story polls for states and never sleeps; it asserts what users saw, not how long it took.
package stories
