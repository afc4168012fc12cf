package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// This file holds that the primary runs the very images that were analysed: a template names a tag, and a tag may have been moved to another image
// between the start of the canary's pods and that of the primary's.

// Images are the images that the pods of a side run, as the nodes resolved them: for each container whose image is not named by its digest, the IDs,
// sorted. Nil means that nobody has looked.
type Images map[string][]string

// recordImages notes in status, once in an analysis, what the canary's pods run.
func (d *decision) recordImages() {
	ro := d.ro()
	if ro.ImagesRead || d.in.CanaryImages == nil || !analysing(ro.Stage) {
		return
	}
	ro.ImagesRead = true
	for _, name := range slices.Sorted(maps.Keys(d.in.CanaryImages)) {
		if len(ro.Images) == v1beta1.MaxImages {
			break
		}
		ids := d.in.CanaryImages[name]
		ro.Images = append(ro.Images, v1beta1.ContainerImages{Name: name, IDs: ids[:min(len(ids), v1beta1.MaxImageIDs)]})
	}
}

// analysing tells whether the pods of the canary are those that are judged.
func analysing(s v1beta1.Stage) bool {
	return s == v1beta1.StagePreparing || s == v1beta1.StageAnalysing || s == v1beta1.StageConfirmingPromotion
}

// NeedsImages tells which side's images a decision on a Canary looks at: the canary's once in an analysis, the primary's while it is promoted. Looking
// costs a read of pods from the API server.
func NeedsImages(c *v1beta1.Canary, primary Workload) (ofCanary, ofPrimary bool) {
	ro := c.Status.Rollout
	if ro == nil || c.TargetsService() {
		return false, false
	}
	return !ro.ImagesRead && analysing(ro.Stage),
		ro.Stage == v1beta1.StagePromoting && len(ro.Images) > 0 && primary.Revision == ro.Revision && primary.Current && primary.Updated > 0
}

// foreignImage tells whether a pod of the primary runs another image than was analysed, and says which.
func (d *decision) foreignImage() (string, bool) {
	for _, analysed := range d.ro().Images {
		for _, id := range d.in.PrimaryImages[analysed.Name] {
			if differs(analysed.IDs, id) {
				return fmt.Sprintf("container %s of %s runs %s, but %s was analysed: its tag was moved to another image in between. "+
					"Name the image by its digest, or have what the tag names now analysed: kubectl rollout restart %s/%s",
					analysed.Name, d.in.Canary.PrimaryName(), id, strings.Join(analysed.IDs, " and "),
					strings.ToLower(d.spec.TargetRef.Kind), d.spec.TargetRef.Name), true
			}
		}
	}
	return "", false
}

// differs tells whether an ID is none of others, by the digest, wherever it was pulled from. A node that was given an image by hand knows it by
// another kind of ID than one that has pulled it; the two kinds cannot be compared, which is no difference.
func differs(ids []string, id string) bool {
	_, digest, pulled := strings.Cut(id, "@")
	compared := false
	for _, other := range ids {
		_, otherDigest, otherPulled := strings.Cut(other, "@")
		if pulled != otherPulled {
			continue
		}
		compared = true
		if other == id || (pulled && digest == otherDigest) {
			return false
		}
	}
	return compared
}
