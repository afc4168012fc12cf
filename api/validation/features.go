package validation

// Features are parts of the API that a build may lack. What decides what users get is denied where it is lacking, rather than
// ignored.
type Features struct {
	// TargetKinds that can be rolled out.
	TargetKinds []string
	// MetricProviders are the types of metric providers that can be asked.
	MetricProviders []string
}

// CurrentFeatures are the features of this build.
func CurrentFeatures() Features {
	return Features{
		TargetKinds:     []string{"Deployment", "DaemonSet", "Service"},
		MetricProviders: metricProviders(),
	}
}
