//! Tiles: how a log is laid out for those who read it (C2SP tlog-tiles): 256 hashes of one level, or 256 entries.

use super::frontier::Frontier;
use super::hash::Hash;
use super::layout::{Node, ReadHashes};

/// Levels of the tree that one tile stands for; a full one has 2^8 hashes (C2SP tlog-tiles, "Merkle Tree").
pub const TILE_HEIGHT: u8 = 8;
/// Hashes, or entries, of a full tile.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;
/// The highest level of a tile (C2SP tlog-tiles: "between 0 and 63"); a 64-bit tree ends below it.
const TILE_LEVELS: u8 = 63;
/// The most bytes of an entry in a bundle: its length is two bytes.
pub const ENTRY_BYTES: usize = u16::MAX as usize;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Hashes of this tile level: of the tree's level `8 * level`.
    Hashes(u8),
    Entries,
}

/// One tile, full or partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    pub content: Content,
    pub number: u64,
    /// Hashes or entries, 1 to 256.
    pub width: u64,
}

impl Tile {
    /// Reads what follows `tile/` in an address: `L/N`, `L/N.p/W`, `entries/N`, `entries/N.p/W`. `None`: no tile is called so.
    #[must_use]
    pub fn parse(path: &str) -> Option<Tile> {
        let (content, rest) = path.split_once('/')?;
        let content = match content {
            "entries" => Content::Entries,
            level => Content::Hashes(decimal(level).and_then(|level| u8::try_from(level).ok())?),
        };
        if matches!(content, Content::Hashes(level) if level > TILE_LEVELS) {
            return None;
        }
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, decimal(width).filter(|width| (1..TILE_WIDTH).contains(width))?),
            None => (rest, TILE_WIDTH),
        };
        Some(Tile { content, number: parse_number(number)?, width })
    }

    /// What follows `tile/` in its address.
    #[must_use]
    pub fn path(&self) -> String {
        let content = match self.content {
            Content::Hashes(level) => level.to_string(),
            Content::Entries => "entries".to_owned(),
        };
        let partial = if self.width < TILE_WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("{content}/{}{partial}", number(self.number))
    }

    /// The level of its tile level 0: entries stand where the leaves do.
    fn level(&self) -> u8 {
        match self.content {
            Content::Hashes(level) => level,
            Content::Entries => 0,
        }
    }

    /// The leaves that a tree must have for the tile to be there; `None`: more than can be counted.
    #[must_use]
    pub fn needed(&self) -> Option<u64> {
        let shift = u32::from(self.level()) * u32::from(TILE_HEIGHT);
        let end = self.number.checked_mul(TILE_WIDTH)?.checked_add(self.width)?;
        // Not `checked_shl`, which minds the shift alone.
        (shift < u64::BITS && end.leading_zeros() >= shift).then(|| end << shift)
    }

    /// The subtrees whose roots it holds. Only for a tile that is there ([`Tile::needed`]).
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        let (level, begin) = (self.level() * TILE_HEIGHT, self.number * TILE_WIDTH);
        (begin..begin + self.width).map(move |number| Node { level, number })
    }

    /// The tiles that a tree of this size has: for each level the full ones before and the last, partial one where there is.
    #[must_use]
    pub fn of_size(content: Content, size: u64) -> (u64, Option<Tile>) {
        let shift = match content {
            Content::Hashes(level) => u32::from(level) * u32::from(TILE_HEIGHT),
            Content::Entries => 0,
        };
        let count = if shift < u64::BITS { size >> shift } else { 0 };
        let (full, width) = (count / TILE_WIDTH, count % TILE_WIDTH);
        (full, (width > 0).then_some(Tile { content, number: full, width }))
    }
}

/// Whether the hashes of a tile add up to those that stand above them in the tree: the root of a full tile, and in a partial
/// one those of its perfect subtrees, as far as the tree has them.
pub fn adds_up<R: ReadHashes>(tile: &Tile, hashes: &[Hash], above: &R) -> Result<bool, R::Error> {
    let level = tile.level() * TILE_HEIGHT;
    let begin = tile.number * TILE_WIDTH;
    for part in super::layout::perfect(begin, begin + tile.width).into_iter().filter(|part| part.level > 0) {
        let from = ((part.number << part.level) - begin) as usize;
        let Some(hashes) = hashes.get(from..from + (1 << part.level)) else {
            return Ok(false);
        };
        if perfect_root(hashes) != above.hash(Node { level: level + part.level, number: part.number })? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The root over a power of two of hashes.
#[must_use]
pub fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}

/// Adds an entry to a bundle; `None` where it is too long.
pub fn put_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Option<()> {
    bundle.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
    bundle.extend_from_slice(entry);
    Some(())
}

/// The entries of a bundle that should have so many; `None` where it has not, or has anything besides.
#[must_use]
pub fn entries(mut bundle: &[u8], width: u64) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    for _ in 0..width.min(TILE_WIDTH) {
        let (length, rest) = bundle.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bundle = rest;
    }
    bundle.is_empty().then_some(entries)
}

/// `x001/x234/067`: groups of three digits, all but the last with an x (C2SP tlog-tiles).
fn number(number: u64) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

fn parse_number(text: &str) -> Option<u64> {
    let mut found: u64 = 0;
    let mut groups = text.split('/').peekable();
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        found = found.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    // One address a tile: no group of zeros in front.
    (number(found) == text).then_some(found)
}

/// A number without sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::super::hash::leaf_hash;
    use super::super::memory::Hashes;
    use super::*;

    #[test]
    fn addresses_are_those_of_the_specification() {
        // C2SP tlog-tiles: tile 1234067 is x001/x234/067.
        let tile = Tile { content: Content::Hashes(0), number: 1_234_067, width: 256 };
        assert_eq!(tile.path(), "0/x001/x234/067");
        let partial = Tile { content: Content::Entries, number: 273, width: 112 };
        assert_eq!(partial.path(), "entries/273.p/112");
        for tile in [tile, partial, Tile { content: Content::Hashes(3), number: 0, width: 1 }] {
            assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }
        for wrong in [
            "",
            "0",
            "0/",
            "0/0",
            "0/00",
            "0/0000",
            "0/x000/001",
            "0/001/002",
            "0/x001",
            "00/000",
            "-1/000",
            "64/000",
            "256/000",
            "a/000",
            "entries/x1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/000/",
            "0/+01",
            "0/x018/x446/x744/x073/x709/x551/616",
            "0/00\u{663}",
        ] {
            assert_eq!(Tile::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_log_of_seventy_thousand_entries_has_the_tiles_of_the_specification() {
        // C2SP tlog-tiles: 273 full and one of 112 at level 0, one full and one of 17 at level 1, one of 1 at level 2.
        let of = |level| Tile::of_size(Content::Hashes(level), 70_000);
        let partial = |level, number, width| Some(Tile { content: Content::Hashes(level), number, width });
        assert_eq!(of(0), (273, partial(0, 273, 112)));
        assert_eq!(of(1), (1, partial(1, 1, 17)));
        assert_eq!(of(2), (0, partial(2, 0, 1)));
        assert_eq!(of(3), (0, None));
        assert_eq!(of(8), (0, None));
        assert_eq!(partial(1, 1, 17).unwrap().needed(), Some((256 + 17) * 256));
        assert_eq!(Tile { content: Content::Hashes(63), number: 0, width: 1 }.needed(), None);
        assert_eq!(Tile { content: Content::Hashes(7), number: 255, width: 256 }.needed(), None);
        assert_eq!(Tile { content: Content::Hashes(0), number: u64::MAX / 2, width: 1 }.needed(), None);
    }

    #[test]
    fn a_tile_adds_up_and_one_with_a_changed_hash_does_not() {
        let (mut frontier, mut hashes) = (Frontier::default(), Hashes::default());
        for leaf in 0..70_000_u64 {
            frontier.push_all(leaf_hash(&leaf.to_be_bytes()), |hash| hashes.0.push(*hash));
        }
        let tile = |level, number, width| Tile { content: Content::Hashes(level), number, width };
        for tile in [tile(0, 5, 256), tile(0, 273, 112), tile(1, 0, 256), tile(1, 1, 17)] {
            let found: Vec<_> = tile.nodes().map(|node| hashes.hash(node).unwrap()).collect();
            assert_eq!(adds_up(&tile, &found, &hashes), Ok(true), "{tile:?}");
            for at in 0..found.len() {
                let mut changed = found.clone();
                changed[at][3] ^= 1;
                let alone = tile.width % 2 == 1 && at + 1 == found.len();
                assert_eq!(adds_up(&tile, &changed, &hashes), Ok(alone), "{tile:?} {at}");
            }
        }
    }

    #[test]
    fn a_bundle_gives_its_entries_back_or_none() {
        let mut bundle = Vec::new();
        for entry in [&b"one"[..], b"", &[7; ENTRY_BYTES]] {
            put_entry(&mut bundle, entry).unwrap();
        }
        assert_eq!(entries(&bundle, 3), Some(vec![&b"one"[..], b"", &[7; ENTRY_BYTES]]));
        assert_eq!(entries(&bundle, 2), None);
        assert_eq!(entries(&bundle, 4), None);
        assert_eq!(entries(&bundle[..bundle.len() - 1], 3), None);
        assert!(put_entry(&mut bundle, &[7; ENTRY_BYTES + 1]).is_none());
    }
}
