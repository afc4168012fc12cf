package core

// Drift is what somebody else changed in an object of a route, and what was put back.
type Drift struct {
	// Kind and Name are those of the object.
	Kind, Name string
	// Deleted tells that the whole object was gone; then there are no Fields.
	Deleted bool
	Fields  []DriftField
	// By is the field manager that the API server names for the change; empty where it names none, as for what was taken out.
	By string
}

// DriftField is one field that was put back. Its values are compact JSON, empty where there was or is none.
type DriftField struct {
	Path, Was, Now string
}
