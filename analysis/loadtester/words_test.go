package loadtester

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitWords(t *testing.T) {
	tests := map[string]struct {
		line string
		want []string
	}{
		"words":                   {`hey -z 1m  http://x/`, []string{"hey", "-z", "1m", "http://x/"}},
		"surrounding space":       {" \n hey \n", []string{"hey"}},
		"nothing":                 {"  \n ", nil},
		"single quotes":           {`-H 'Cookie: a="b"; c=$d'`, []string{"-H", `Cookie: a="b"; c=$d`}},
		"double quotes":           {`-d "{\"a\": 'b', \"c\": \"\$1\"}"`, []string{"-d", `{"a": 'b', "c": "$1"}`}},
		"backslash stays in them": {`"a\nb"`, []string{`a\nb`}},
		"empty quotes":            {`-d '' ""`, []string{"-d", "", ""}},
		"quotes within a word":    {`a'b c'"d e"f`, []string{"ab cd ef"}},
		"escaped space":           {`a\ b`, []string{"a b"}},
		"escaped operator":        {`http://x/?a=1\&b=2`, []string{"http://x/?a=1&b=2"}},
		"lines joined":            {"hey \\\n  -z 1m \"a\\\nb\"", []string{"hey", "-z", "1m", "ab"}},
		"patterns stay":           {`http://x/*?a=[1]~`, []string{`http://x/*?a=[1]~`}},
		"fragment":                {`http://x/#top`, []string{`http://x/#top`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := splitWords(tt.line)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("splitWords(%q) = %q, %v; want %q", tt.line, got, err, tt.want)
			}
		})
	}
}

func TestSplitWordsRefuses(t *testing.T) {
	tests := map[string]struct{ line, want string }{
		"and":                   {`hey http://x && rm -rf /`, `"&" is for a shell`},
		"sequence":              {`hey http://x; id`, `";" is for a shell`},
		"pipe":                  {`hey http://x | sh`, `"|" is for a shell`},
		"redirection":           {`hey http://x > /tmp/x`, `">" is for a shell`},
		"substitution":          {"hey `id`", "\"`\" is for a shell"},
		"subshell":              {"(hey)", `"(" is for a shell`},
		"variable":              {`hey $URL`, "variables"},
		"variable in quotes":    {`hey "$URL"`, "variables"},
		"substitution in quote": {"hey \"`id`\"", "variables"},
		"second line":           {"hey http://x\nid", "one line"},
		"comment":               {"hey http://x # fast", "comments"},
		"open single quote":     {`hey 'a`, "single quote"},
		"open double quote":     {`hey "a`, "double quote"},
		"last backslash":        {`hey \`, "backslash"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := splitWords(tt.line)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("splitWords(%q) = %q, %v; want an error that mentions %s", tt.line, got, err, tt.want)
			}
		})
	}
}

func FuzzSplitWords(f *testing.F) {
	f.Add(`hey -H 'a: b' "c\"d" e\ f http://x`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitWords(line)
		if err != nil {
			return
		}
		// What was split can be quoted and split again to the same words.
		var quoted []string
		for _, word := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
		}
		again, err := splitWords(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Errorf("%q gives %q, then %q, %v", line, words, again, err)
		}
	})
}
