package query

import (
	"fmt"
	"regexp"
)

const (
	// Kubernetes cuts the generated part of a pod's name so that base and five random characters fit into 63.
	maxGeneratedBase = 58

	// maxHash is the length of the longest pod-template-hash: ten decimal digits, encoded.
	maxHash = 10

	// maxTarget is the longest workload name whose pods can be told from those of "<name>-primary" after cutting.
	maxTarget = 54

	// generated is a character of names that Kubernetes generates; it has no vowels, so "primary" never matches.
	generated = "[bcdfghjklmnpqrstvwxz2456789]"
)

// Pods returns an RE2 pattern, to be matched against whole pod names, for the pods of the workload but never for those of
// "<target>-primary". For a Deployment hash may name one pod-template-hash. It is an error to ask for another kind than
// Deployment and DaemonSet, or for names over 54 characters, which Kubernetes cuts until the two look alike.
func Pods(kind, target, hash string) (string, error) {
	if target == "" {
		return "", fmt.Errorf("the target has no name, so its pods cannot be told by name")
	}
	if len(target) > maxTarget {
		return "", fmt.Errorf("target name %q has %d characters: over %d Kubernetes cuts pod names so that canary and primary look alike; "+
			"use a MetricTemplate that selects the pods by label",
			target, len(target), maxTarget)
	}
	base := regexp.QuoteMeta(target)
	switch kind {
	case "DaemonSet":
		return fmt.Sprintf("%s-%s{5}", base, generated), nil
	case "Deployment":
		return deploymentPods(base, len(target), hash), nil
	default:
		return "", fmt.Errorf("target kind %q: pods can be told by name for Deployment and DaemonSet only; use a MetricTemplate", kind)
	}
}

// deploymentPods matches "<target>-<hash>-<5 characters>", and for long targets also the form whose hash is cut.
func deploymentPods(base string, length int, hash string) string {
	room := maxGeneratedBase - length - 1 // characters of "<hash>-" that are kept
	if hash != "" {
		kept := hash + "-"
		if len(kept) > room {
			kept = kept[:room]
		}
		return fmt.Sprintf("%s-%s%s{5}", base, regexp.QuoteMeta(kept), generated)
	}
	if room > maxHash {
		return fmt.Sprintf("%s-%s{1,%d}-%s{5}", base, generated, maxHash, generated)
	}
	return fmt.Sprintf("%s-(%s{1,%d}-%s{5}|%s{%d})", base, generated, room-1, generated, generated, room+5)
}
