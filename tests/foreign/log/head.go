package main

import (
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// head is an opened checkpoint.
type head struct {
	tlog.Tree
	verifier note.Verifier
}

// readHead fetches key and checkpoint below a base.
func readHead(node *node, base, vkey string) (*head, error) {
	served, err := node.get(base + "/vkey")
	if err != nil {
		return nil, err
	}
	line := strings.TrimSuffix(string(served), "\n")
	if strings.ContainsAny(line, "\r\n") {
		return nil, fmt.Errorf("%s/vkey is more than one line", base)
	}
	if vkey == "" {
		vkey = line
	} else if vkey != line {
		return nil, fmt.Errorf("the node says its key is %s, not %s", line, vkey)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	checkpoint, err := node.get(base + "/checkpoint")
	if err != nil {
		return nil, err
	}
	tree, err := openCheckpoint(checkpoint, verifier)
	return &head{tree, verifier}, err
}

// openCheckpoint verifies a checkpoint's signature and reads its text. ParseTree knows the origin of Go's own database alone, so
// the first line is put in its place after it was compared with the name of the key.
func openCheckpoint(checkpoint []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(checkpoint, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("origin %q is not the name of the key, %q", origin, verifier.Name())
	}
	text := "go.sum database tree\n" + rest
	tree, err := tlog.ParseTree([]byte(text))
	if err == nil && string(tlog.FormatTree(tree)) != text {
		err = fmt.Errorf("tlog.FormatTree writes %q otherwise", opened.Text)
	}
	return tree, err
}

// vector is the example of C2SP signed-note and of the package note itself.
func vector(c *checker) {
	const (
		vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
		text = "This is an example message.\n"
		sig  = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
	)
	verifier, err := note.NewVerifier(vkey)
	if err == nil {
		_, err = note.Open([]byte(text+"\n\u2014 example.com/foo "+sig+"\n"), note.VerifierList(verifier))
	}
	c.check(err, "note.Open opens the example of the specification")
	if err == nil {
		_, wrong := note.Open([]byte("T"+text+"\n\u2014 example.com/foo "+sig+"\n"), note.VerifierList(verifier))
		if wrong == nil {
			err = fmt.Errorf("it opened")
		}
	}
	c.check(err, "note.Open refuses it with a letter more")
}
