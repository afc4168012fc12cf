// Package ways holds tests alone: every way in which people change a target or its configs, done with the real command line tools to a real API
// server on which the real binary runs with the shipped rights and webhooks, beside the real controllers of Deployments, ReplicaSets and
// EndpointSlices. Only kubelet and gateway are played: pods are ready at once, routes accepted at once.
//
// What real users were served by real pods is told by the stories of the end-to-end tests; how a single request is answered is tested in webhook.
package ways
