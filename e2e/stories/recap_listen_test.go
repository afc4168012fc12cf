//go:build e2e

package stories

import (
	"slices"
	"strings"
	"testing"
)

func TestRecap(t *testing.T) {
	printed := `=== RUN   TestStories/good
=== RUN   TestStories/bad
    a_test.go:1: begun
=== NAME  TestStories/good
    a_test.go:2: fine
=== NAME  TestStories/bad
    a_test.go:3: 2 of 30 requests failed
        a long report
--- FAIL: TestStories (3.00s)
    --- PASS: TestStories/good (1.00s)
    --- FAIL: TestStories/bad (2.00s)
FAIL
`
	var out strings.Builder
	got := listen(strings.NewReader(printed), &out)
	want := []string{"FAILED TestStories/bad", "    a_test.go:1: begun", "    a_test.go:3: 2 of 30 requests failed"}
	if !slices.Equal(got, want) {
		t.Errorf("said again:\n%s", strings.Join(got, "\n"))
	}
	if out.String() != printed {
		t.Errorf("not everything was passed on:\n%s", out.String())
	}
}
