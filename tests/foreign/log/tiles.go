package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// tileHeight and tileWidth are those of C2SP tlog-tiles.
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	// levels of tiles that a tree of less than 2^63 entries can have.
	tileLevels = 8
)

// tree is a head and all that was fetched below it.
type tree struct {
	node   *node
	base   string
	head   *head
	leaves []tlog.Hash
	// stored are the hashes in tlog's order, reckoned from the entries.
	stored []tlog.Hash
	// tiles as they were served, by level and number.
	tiles map[place]served
}

type place struct {
	level  int
	number int64
}

type served struct {
	tile tlog.Tile
	data []byte
}

// widthsAt are the widths of a level's tiles, full ones and at most one partial.
func widthsAt(size int64, level int) []int {
	var widths []int
	for count := size >> (tileHeight * level); count > 0; count -= tileWidth {
		if count < tileWidth {
			return append(widths, int(count))
		}
		widths = append(widths, tileWidth)
	}
	return widths
}

// path of a tile: that of tlog without the height, and with "entries" for its "data" (C2SP tlog-tiles).
func (t *tree) path(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), "tile/8/")
	return t.base + "/tile/" + strings.Replace(path, "data/", "entries/", 1)
}

// readEntries fetches every bundle and reckons the tree from the entries alone.
func (t *tree) readEntries() error {
	widths := widthsAt(t.head.N, 0)
	leaves := make([][]tlog.Hash, len(widths))
	err := each(len(widths), func(number int) (err error) {
		tile := tlog.Tile{H: tileHeight, L: -1, N: int64(number), W: widths[number]}
		bundle, err := t.node.get(t.path(tile))
		if err == nil {
			leaves[number], err = leavesOf(bundle, tile.W)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, some := range leaves {
		for _, leaf := range some {
			more, err := tlog.StoredHashesForRecordHash(int64(len(t.leaves)), leaf, t.reckoned())
			if err != nil {
				return err
			}
			t.leaves = append(t.leaves, leaf)
			t.stored = append(t.stored, more...)
		}
	}
	return nil
}

// leavesOf reads a bundle that must have so many entries and nothing else. Every entry is a JWS in compact form: no disclosure
// ever stands in the log.
func leavesOf(bundle []byte, width int) ([]tlog.Hash, error) {
	var leaves []tlog.Hash
	for len(bundle) > 0 {
		if len(leaves) == width {
			return nil, fmt.Errorf("more than %d entries in a bundle", width)
		}
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			return nil, fmt.Errorf("a bundle ends inside an entry")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		entry := bundle[2:end]
		if bytes.Count(entry, []byte(".")) != 2 || bytes.Contains(entry, []byte("~")) {
			return nil, fmt.Errorf("an entry is no compact JWS: %.80q", entry)
		}
		leaves = append(leaves, tlog.RecordHash(entry))
		bundle = bundle[end:]
	}
	if len(leaves) != width {
		return nil, fmt.Errorf("a bundle of %d entries, not %d", len(leaves), width)
	}
	return leaves, nil
}

// readTiles fetches every tile of every level and compares every node of it.
func (t *tree) readTiles() error {
	t.tiles = map[place]served{}
	var all []tlog.Tile
	for level := 0; level < tileLevels; level++ {
		for number, width := range widthsAt(t.head.N, level) {
			all = append(all, tlog.Tile{H: tileHeight, L: level, N: int64(number), W: width})
		}
	}
	data := make([][]byte, len(all))
	err := each(len(all), func(at int) (err error) {
		data[at], err = t.node.get(t.path(all[at]))
		return err
	})
	if err != nil {
		return err
	}
	for at, tile := range all {
		expected, err := tlog.ReadTileData(tile, t.reckoned())
		if err != nil {
			return err
		}
		if !bytes.Equal(data[at], expected) {
			return fmt.Errorf("%s: %d bytes are not the %d that tlog reckons", t.path(tile), len(data[at]), len(expected))
		}
		t.tiles[place{tile.L, tile.N}] = served{tile, data[at]}
	}
	return nil
}

// reckoned reads the hashes that were reckoned from the entries.
func (t *tree) reckoned() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for at, index := range indexes {
			if index >= int64(len(t.stored)) {
				return nil, fmt.Errorf("no hash %d", index)
			}
			hashes[at] = t.stored[index]
		}
		return hashes, nil
	})
}

// fromTiles reads hashes from the tiles as they were served.
func (t *tree) fromTiles() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for at, index := range indexes {
			asked := tlog.TileForIndex(tileHeight, index)
			found, ok := t.tiles[place{asked.L, asked.N}]
			if !ok {
				return nil, fmt.Errorf("no tile %s", asked.Path())
			}
			var err error
			if hashes[at], err = tlog.HashFromTile(found.tile, found.data, index); err != nil {
				return nil, err
			}
		}
		return hashes, nil
	})
}

// Height, ReadTiles and SaveTiles make it a tlog.TileReader: what TileHashReader asks for has the widths of the head.
func (t *tree) Height() int { return tileHeight }

func (t *tree) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for at, tile := range tiles {
		found, ok := t.tiles[place{tile.L, tile.N}]
		if !ok || found.tile != tile {
			return nil, fmt.Errorf("no tile %s", tile.Path())
		}
		data[at] = found.data
	}
	return data, nil
}

func (t *tree) SaveTiles([]tlog.Tile, [][]byte) {}

// readThrough asks the library's own client for every leaf.
func (t *tree) readThrough() error {
	reader := tlog.TileHashReader(t.head.Tree, t)
	for begin := 0; begin < len(t.leaves); begin += tileWidth {
		var indexes []int64
		for leaf := begin; leaf < len(t.leaves) && leaf < begin+tileWidth; leaf++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, int64(leaf)))
		}
		hashes, err := reader.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for at, hash := range hashes {
			if hash != t.leaves[begin+at] {
				return fmt.Errorf("leaf %d differs", begin+at)
			}
		}
	}
	return nil
}

// nothingBeyond asks for tiles that a tree of this size has not. The node may have grown since, by less than a full tile.
func (t *tree) nothingBeyond() error {
	last := int64(len(widthsAt(t.head.N, 0)))
	for _, tile := range []tlog.Tile{
		{H: tileHeight, L: 0, N: last + 1000, W: tileWidth},
		{H: tileHeight, L: 0, N: last + 1000, W: 1},
		{H: tileHeight, L: -1, N: last + 1000, W: tileWidth},
		{H: tileHeight, L: -1, N: last + 1000, W: 1},
		{H: tileHeight, L: 5, N: 0, W: tileWidth},
		{H: tileHeight, L: 5, N: 0, W: 1},
	} {
		status, _, err := t.node.try(t.path(tile))
		if err != nil {
			return err
		}
		if status != 404 {
			return fmt.Errorf("%s: status %d", t.path(tile), status)
		}
	}
	return nil
}
