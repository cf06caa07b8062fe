// Command foreign-log holds a node's transparency log to golang.org/x/mod/sumdb/note and /tlog, the code behind Go's checksum
// database, which was not written here.
//
// It takes nothing of the node on trust but the key that it is given or told: heads are opened by note.Open, every tile and every
// entry of the head is fetched and reckoned again, and proofs are judged by tlog.CheckRecord and tlog.CheckTree. TileHashReader
// asks for no more tiles than it needs, so all tiles are compared here, node by node, too.
//
// It prints a line "ok ..." or "FAILED ..." for each thing that it checks, and at the end "log (Go): N passed, M failed".
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// checker counts what held and what did not.
type checker struct {
	passed, failed int
}

// check reports one thing; an error says why it does not hold.
func (c *checker) check(err error, format string, values ...any) bool {
	what := fmt.Sprintf(format, values...)
	if err != nil {
		c.failed++
		fmt.Printf("FAILED log (Go) %s: %v\n", what, err)
		return false
	}
	c.passed++
	fmt.Printf("ok log (Go) %s\n", what)
	return true
}

func main() {
	url := flag.String("url", "", "the node, as http://HOST:PORT")
	vkey := flag.String("vkey", "", "the key of the log, in note form; by default the node's own word, /log/vkey")
	tokenFile := flag.String("token-file", "", "an administrator's key: the audit tree is checked too")
	checkpoints := flag.String("checkpoints", "", "a folder of checkpoints that were fetched before: each pair of them must be consistent")
	sizes := flag.Int64("sizes", 0, "proofs in every tree of 0 to so many entries")
	samples := flag.Int("samples", 0, "so many sampled proofs of either kind, up to the head")
	seed := flag.Int64("seed", time.Now().UnixNano(), "of what is drawn by lot")
	flag.Parse()
	if *url == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}

	c := &checker{}
	vector(c)
	node := &node{url: strings.TrimSuffix(*url, "/")}
	lot := rand.New(rand.NewSource(*seed))
	if registry := readTree(c, node, "/log", "the registry tree", *vkey); registry != nil {
		proofs := &proofs{checker: c, tree: registry, lot: lot}
		proofs.published()
		proofs.refusals()
		if *sizes > 0 {
			proofs.everySize(*sizes)
		}
		if *samples > 0 {
			proofs.sampled(*samples)
		}
		if *checkpoints != "" {
			proofs.pairwise(*checkpoints)
		}
	}
	if *tokenFile != "" {
		audit(c, node, *tokenFile)
	}
	fmt.Printf("seed %d\n", *seed)
	fmt.Printf("log (Go): %d passed, %d failed\n", c.passed, c.failed)
	if c.failed > 0 {
		os.Exit(1)
	}
}

// audit checks the tree of who did what, which only an administrator is shown.
func audit(c *checker, anonymous *node, tokenFile string) {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		c.check(err, "the administrator's key")
		return
	}
	for _, path := range []string{"/log/audit/checkpoint", "/log/audit/vkey", "/log/audit/tile/0/000", "/log/audit/tile/entries/000"} {
		status, _, err := anonymous.try(path)
		if err == nil && status != 401 {
			err = fmt.Errorf("status %d", status)
		}
		c.check(err, "%s asks strangers for a key", path)
	}
	admin := &node{url: anonymous.url, token: strings.TrimSpace(string(token))}
	readTree(c, admin, "/log/audit", "the audit tree", "")
}

// readTree opens a head and reckons all that is below it again.
func readTree(c *checker, node *node, base, name, vkey string) *tree {
	head, err := readHead(node, base, vkey)
	if !c.check(err, "%s: note.Open and tlog.ParseTree read the head", name) {
		return nil
	}
	t := &tree{node: node, base: base, head: head}
	if !c.check(t.readEntries(), "%s: every bundle of %d entries has the width that the size says", name, head.N) {
		return nil
	}
	if !c.check(t.readTiles(), "%s: every node of every tile is what tlog reckons from the entries", name) {
		return nil
	}
	root, err := tlog.TreeHash(head.N, t.fromTiles())
	c.check(same(root, head.Hash, err), "%s: tlog.TreeHash over the tiles is the root that is signed", name)
	c.check(t.readThrough(), "%s: tlog.TileHashReader proves every leaf of %d tiles by the head", name, len(t.tiles))
	c.check(t.nothingBeyond(), "%s: there is no tile beyond the head", name)
	return t
}

// same is the error of two hashes that should be one.
func same(found, expected tlog.Hash, err error) error {
	if err == nil && found != expected {
		return fmt.Errorf("%v is not %v", found, expected)
	}
	return err
}
