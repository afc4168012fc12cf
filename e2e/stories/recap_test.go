//go:build e2e

package stories

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
)

// Lines of what the testing package prints when it is verbose.
var (
	speaker = regexp.MustCompile(`^=== [A-Z]+ +(\S+)`)
	said    = regexp.MustCompile(`^\s+\w+_test\.go:\d+: `)
	ended   = regexp.MustCompile(`^\s*--- (FAIL|PASS): (\S+)`)
)

// recap runs the stories, and says once more at the end what was said in those that failed: it is pages above by then, in between what was said in others.
func recap(run func() int) int {
	read, write, err := os.Pipe()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no recap:", err)
		return run()
	}
	stdout := os.Stdout
	os.Stdout = write
	told := make(chan []string, 1)
	go func() { told <- listen(read, stdout) }()
	code := run()
	os.Stdout = stdout
	if err := write.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "no recap:", err)
		return code
	}
	for _, line := range <-told {
		fmt.Fprintln(os.Stderr, line)
	}
	return code
}

// listen passes everything on, and returns the first lines of all messages of the tests that failed.
func listen(from io.Reader, to io.Writer) []string {
	lines := map[string][]string{}
	var order, failed []string
	now := ""
	in := bufio.NewScanner(from)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		line := in.Text()
		fmt.Fprintln(to, line)
		if m := speaker.FindStringSubmatch(line); m != nil {
			now = m[1]
		} else if m := ended.FindStringSubmatch(line); m != nil && m[1] == "FAIL" {
			failed = append(failed, m[2])
		} else if said.MatchString(line) {
			if lines[now] == nil {
				order = append(order, now)
			}
			lines[now] = append(lines[now], line)
		}
	}
	// Whoever writes is never to be stopped by a line that is too long to be looked at.
	if in.Err() != nil {
		_, _ = io.Copy(to, from)
	}
	var out []string
	for _, name := range order {
		if slices.Contains(failed, name) {
			out = append(append(out, "FAILED "+name), lines[name]...)
		}
	}
	return out
}
