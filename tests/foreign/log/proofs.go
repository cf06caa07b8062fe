package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/mod/sumdb/tlog"
)

// proofs asks the node for proofs in trees whose roots were reckoned here.
type proofs struct {
	*checker
	tree *tree
	lot  *rand.Rand
}

// inclusion is the answer of /v1/log/proof/{index}.
type inclusion struct {
	Index      int64
	Size       int64
	Root       tlog.Hash
	Hashes     tlog.RecordProof
	Checkpoint string
}

// consistency is the answer of /v1/log/consistency.
type consistency struct {
	From, To struct {
		Size int64
		Root tlog.Hash
	}
	Hashes tlog.TreeProof
}

// ask is a proof to be fetched: of a record in a tree, or of one tree in another.
type ask struct {
	index, from, size int64
}

// root of the first entries. tlog has no word for the empty tree; RFC 6962, section 2.1: the hash of nothing.
func (p *proofs) root(size int64) (tlog.Hash, error) {
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	return tlog.TreeHash(size, p.tree.reckoned())
}

// record fetches and judges one inclusion proof.
func (p *proofs) record(asked ask) error {
	var found inclusion
	if err := p.tree.node.getJSON(fmt.Sprintf("/v1/log/proof/%d?size=%d", asked.index, asked.size), &found); err != nil {
		return err
	}
	if found.Index != asked.index || found.Size != asked.size {
		return fmt.Errorf("asked for record %d of %d, got %d of %d", asked.index, asked.size, found.Index, found.Size)
	}
	root, err := p.root(asked.size)
	if err = same(found.Root, root, err); err == nil {
		err = tlog.CheckRecord(found.Hashes, asked.size, root, asked.index, p.tree.leaves[asked.index])
	}
	if err != nil {
		return fmt.Errorf("record %d of %d: %w", asked.index, asked.size, err)
	}
	return nil
}

// growth fetches and judges one consistency proof.
func (p *proofs) growth(asked ask) error {
	var found consistency
	if err := p.tree.node.getJSON(fmt.Sprintf("/v1/log/consistency?from=%d&to=%d", asked.from, asked.size), &found); err != nil {
		return err
	}
	if found.From.Size != asked.from || found.To.Size != asked.size {
		return fmt.Errorf("asked for %d to %d, got %d to %d", asked.from, asked.size, found.From.Size, found.To.Size)
	}
	from, err := p.root(asked.from)
	err = same(found.From.Root, from, err)
	if err == nil {
		var to tlog.Hash
		to, err = p.root(asked.size)
		err = same(found.To.Root, to, err)
		switch {
		case err != nil:
		case asked.from > 0:
			err = tlog.CheckTree(found.Hashes, asked.size, to, asked.from, from)
		case len(found.Hashes) > 0:
			err = fmt.Errorf("%d hashes where nothing is to be proved", len(found.Hashes))
		}
	}
	if err != nil {
		return fmt.Errorf("%d to %d: %w", asked.from, asked.size, err)
	}
	return nil
}

func (p *proofs) all(asked []ask, judge func(ask) error) error {
	return each(len(asked), func(at int) error { return judge(asked[at]) })
}

// published are the answers without a size: those of the head that is published at the moment.
func (p *proofs) published() {
	if p.tree.head.N == 0 {
		return
	}
	var found inclusion
	err := p.tree.node.getJSON("/v1/log/proof/0", &found)
	var tree tlog.Tree
	if err == nil {
		tree, err = openCheckpoint([]byte(found.Checkpoint), p.tree.head.verifier)
	}
	if err == nil && (tree.N != found.Size || tree.Hash != found.Root || tree.N < p.tree.head.N) {
		err = fmt.Errorf("head %d %v, proof %d %v", tree.N, tree.Hash, found.Size, found.Root)
	}
	if err == nil {
		err = tlog.CheckRecord(found.Hashes, tree.N, tree.Hash, 0, p.tree.leaves[0])
	}
	p.check(err, "a proof without a size comes with the checkpoint that it is of, and tlog.CheckRecord takes it")
	var grown consistency
	err = p.tree.node.getJSON(fmt.Sprintf("/v1/log/consistency?from=%d", p.tree.head.N), &grown)
	if err == nil {
		err = tlog.CheckTree(grown.Hashes, grown.To.Size, grown.To.Root, p.tree.head.N, p.tree.head.Hash)
	}
	p.check(err, "a consistency proof without an end goes to the published head, and tlog.CheckTree takes it")
}

// refusals are questions that have no answer: a refusal, never a proof and never the node's fault.
func (p *proofs) refusals() {
	size := p.tree.head.N
	var err error
	for _, path := range []string{
		fmt.Sprintf("/v1/log/proof/%d?size=%d", size, size),
		fmt.Sprintf("/v1/log/proof/0?size=%d", int64(1)<<40),
		"/v1/log/proof/0?size=0",
		"/v1/log/proof/-1",
		"/v1/log/proof/18446744073709551616",
		"/v1/log/proof/0?size=x",
		fmt.Sprintf("/v1/log/consistency?from=%d&to=%d", size, size-1),
		fmt.Sprintf("/v1/log/consistency?from=0&to=%d", int64(1)<<40),
		"/v1/log/consistency?from=-1&to=1",
		"/v1/log/consistency?from=x",
		"/v1/log/consistency",
	} {
		status, _, failure := p.tree.node.try(path)
		if failure == nil && (status < 400 || status > 499) {
			failure = fmt.Errorf("%s: status %d", path, status)
		}
		if err == nil {
			err = failure
		}
	}
	p.check(err, "proofs of what is not there are refused")
}

// everySize asks for proofs in every small tree.
func (p *proofs) everySize(limit int64) {
	if p.tree.head.N < limit {
		p.check(fmt.Errorf("it has %d", p.tree.head.N), "the log has %d entries", limit)
		return
	}
	var records, growths []ask
	for size := int64(1); size <= limit; size++ {
		for _, index := range distinct(0, size-1, size/2, p.lot.Int63n(size), p.lot.Int63n(size), p.lot.Int63n(size)) {
			records = append(records, ask{index: index, size: size})
		}
		for _, from := range distinct(0, 1, size-1, size) {
			growths = append(growths, ask{from: from, size: size})
		}
		if size < limit {
			growths = append(growths, ask{from: size, size: limit})
		}
	}
	p.check(p.all(records, p.record), "tlog.CheckRecord takes %d proofs in trees of every size from 1 to %d", len(records), limit)
	p.check(p.growth(ask{}), "the empty tree is consistent with itself")
	p.check(p.all(growths, p.growth), "tlog.CheckTree takes %d proofs between trees of every size from 0 to %d", len(growths), limit)
}

// sampled draws proofs by lot, those at the borders of tiles among them.
func (p *proofs) sampled(count int) {
	head := p.tree.head.N
	var records, growths []ask
	border := func() int64 {
		size := 1 + p.lot.Int63n(head)
		switch p.lot.Intn(4) {
		case 0:
			size = size/tileWidth*tileWidth + p.lot.Int63n(3) - 1
		case 1:
			size = head - p.lot.Int63n(tileWidth)
		}
		if size < 1 || size > head {
			size = head
		}
		return size
	}
	for at := 0; at < count; at++ {
		size := border()
		records = append(records, ask{index: p.lot.Int63n(size), size: size}, ask{index: p.lot.Int63n(head), size: head})
		from, to := border(), border()
		if from > to {
			from, to = to, from
		}
		growths = append(growths, ask{from: from, size: to}, ask{from: to, size: head})
	}
	p.check(p.all(records, p.record), "tlog.CheckRecord takes %d sampled proofs in a log of %d", len(records), head)
	p.check(p.all(growths, p.growth), "tlog.CheckTree takes %d sampled proofs in a log of %d", len(growths), head)
}

// pairwise opens checkpoints that were fetched while the log grew and proves each of them in each later one.
func (p *proofs) pairwise(folder string) {
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("none is there")
	}
	heads := map[int64]tlog.Hash{}
	for _, name := range names {
		text, failure := os.ReadFile(name)
		var tree tlog.Tree
		if failure == nil {
			tree, failure = openCheckpoint(text, p.tree.head.verifier)
		}
		if failure == nil {
			if root, seen := heads[tree.N]; seen && root != tree.Hash {
				failure = fmt.Errorf("two roots for size %d", tree.N)
			} else if tree.N > p.tree.head.N {
				failure = fmt.Errorf("size %d is beyond the head, %d", tree.N, p.tree.head.N)
			} else {
				var root tlog.Hash
				root, failure = p.root(tree.N)
				failure = same(tree.Hash, root, failure)
			}
			heads[tree.N] = tree.Hash
		}
		if failure != nil && err == nil {
			err = fmt.Errorf("%s: %w", name, failure)
		}
	}
	if !p.check(err, "%d checkpoints, of %d sizes, that were fetched on the way are of this log", len(names), len(heads)) {
		return
	}
	var sizes []int64
	for size := range heads {
		sizes = append(sizes, size)
	}
	sort.Slice(sizes, func(a, b int) bool { return sizes[a] < sizes[b] })
	var growths []ask
	for at, from := range sizes {
		for _, to := range sizes[at+1:] {
			growths = append(growths, ask{from: from, size: to})
		}
	}
	p.check(p.all(growths, p.growth), "tlog.CheckTree takes each of them in each later one: %d pairs", len(growths))
}

// distinct leaves out what stands twice.
func distinct(values ...int64) []int64 {
	seen := map[int64]bool{}
	var once []int64
	for _, value := range values {
		if !seen[value] {
			seen[value] = true
			once = append(once, value)
		}
	}
	return once
}
