// Package promql checks the syntax of PromQL with Prometheus' own parser. It stands apart from query so that only those who check
// link the parser. It is a pure leaf and never sends a query anywhere.
package promql

import (
	"fmt"

	"github.com/prometheus/prometheus/promql/parser"
)

// Check parses a rendered query and tells whether its result can be judged: an instant vector or a scalar. A range vector or a
// string is an error, because no single number can come of it.
func Check(text string) error {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return fmt.Errorf("not valid PromQL: %w", err)
	}
	switch t := expr.Type(); t {
	case parser.ValueTypeVector, parser.ValueTypeScalar:
		return nil
	default:
		return fmt.Errorf("PromQL of type %s gives no single number: make it an instant vector or a scalar, for example with rate() or sum()",
			parser.DocumentedType(t))
	}
}
