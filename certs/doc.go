// Package certs gives the admission webhook a serving certificate that the API servers trust.
//
// Two sources exist. [ModeBuiltin] runs a certificate authority of its own: a long-lived CA in one Secret that all replicas share, a short-lived
// leaf in the memory of each replica, and an [Injector] that publishes the CA in Sluice's webhook configurations. [ModeFiles] serves a
// certificate that somebody else, for example cert-manager, issues, mounts and injects.
//
// # Rotation
//
// A CA is replaced when a third of its life is left, and whenever its Secret was deleted or made unusable; deleting the Secret is therefore
// the way to rotate on demand. The steps keep an admission request from ever meeting a leaf that its API server does not trust:
//
//  1. the new CA is stored in the Secret; every replica signs a leaf with it but goes on serving the old one;
//  2. the bundle in the webhook configurations becomes new plus old;
//  3. after [Options].Settle, long enough for every API server to have read it, each replica switches to its new leaf;
//  4. after [Options].Overlap the old CA leaves the bundle.
//
// The moment of step 2 is kept in an annotation of the webhook configuration, so that a restart continues where it was and the replicas agree
// without electing a leader. Nothing is written when nothing changes.
//
// In [ModeFiles] the injected bundle holds one CA, and it reaches API servers before the kubelet brings the files that belong to it. Whoever issues
// them therefore has to keep the CA's key when its certificate is renewed: then each bundle verifies what either CA signed. Files that cannot be
// served change nothing; the certificate that was read last stays.
//
// # Rights
//
// In its own namespace: get, list, watch and update of the one CA Secret, and create of Secrets (RBAC cannot narrow a create to a name). In the
// cluster: get, list, watch and patch of the two webhook configurations, by name; all lists and watches select that name. [ModeFiles] needs none.
//
// What may never live here: anything that knows about canaries or admission decisions, and anything that creates a webhook configuration.
package certs
