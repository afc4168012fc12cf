package query

import (
	"fmt"
	"text/template"
	"text/template/parse"
)

// checkBounded refuses templates whose running time is not bounded by their length: since Go's templates range over integers and
// call each other, two lines could otherwise keep a processor busy for years.
func checkBounded(tmpl *template.Template) error {
	for _, t := range tmpl.Templates() {
		if t.Tree == nil {
			continue
		}
		if err := checkList(t.Tree.Root, false); err != nil {
			return err
		}
	}
	return nil
}

func checkList(list *parse.ListNode, looping bool) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		if err := checkNode(node, looping); err != nil {
			return err
		}
	}
	return nil
}

func checkNode(node parse.Node, looping bool) error {
	switch n := node.(type) {
	case *parse.TemplateNode:
		return fmt.Errorf("query template calls the template %q: nested templates are not supported, write the text in place", n.Name)
	case *parse.RangeNode:
		if looping || !overVariables(n.Pipe) {
			return fmt.Errorf("query template has the loop {{range %s}}: only {{range variables}} is supported, and not inside another loop", n.Pipe)
		}
		return checkBranch(&n.BranchNode, true)
	case *parse.IfNode:
		return checkBranch(&n.BranchNode, looping)
	case *parse.WithNode:
		return checkBranch(&n.BranchNode, looping)
	case *parse.ListNode:
		return checkList(n, looping)
	}
	return nil
}

func checkBranch(b *parse.BranchNode, looping bool) error {
	if err := checkList(b.List, looping); err != nil {
		return err
	}
	return checkList(b.ElseList, looping)
}

// overVariables tells whether the pipeline is nothing but the function variables.
func overVariables(pipe *parse.PipeNode) bool {
	if len(pipe.Cmds) != 1 || len(pipe.Cmds[0].Args) != 1 {
		return false
	}
	id, ok := pipe.Cmds[0].Args[0].(*parse.IdentifierNode)
	return ok && id.Ident == "variables"
}
