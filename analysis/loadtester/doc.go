// Package loadtester is a server that sends HTTP load to canaries and keeps gates, spoken to like Flagger's load tester.
//
// Here live the parser of load commands, the queue that runs them, checks of answers, the gates, and the HTTP interface. There is no shell: the
// command of a load is text that must read as a hey command line and is carried out inside the process. Programs run only where whoever starts the
// load tester lists the command, and get its words as they are. Whatever gives callers more than that must stay out.
//
// With Tokens, who starts a task or sets a gate has to show one for the namespace. Without them callers are not authenticated, as with Flagger: whoever
// reaches the server can send load wherever the server can connect to, and can open gates; limit who reaches it with a NetworkPolicy. The
// namespace filter reads a field that the caller fills in, so it alone guards against mistakes only. Gates are kept in memory, or in a ConfigMap,
// where they survive restarts and several replicas share them.
package loadtester
