//! Whole answers in memory: found without a lock, bounded to the byte, and true.
//!
//! ```text
//!        find                                            fill
//!          |  pin (announce the epoch)                     |  begin: take the stamp, then read the store
//!          v                                               v
//!   +------------+   hash    +-------------------------------------+         +---------+
//!   | positive   | --------> | set: 16 tags | 16 marks | 16 places | <------ | sketch: | asked for more often
//!   | negative   |           +-------------------------------------+  lock   | counts  | than the weakest here?
//!   +------------+              | tag fits                            or     +---------+
//!          |                    v                                   decline      | yes
//!          |          +-----------------------------------+                      v
//!          |          | entry: stamp | name | head | body | <-- bytes reserved, copied, put in its place
//!          |          +-----------------------------------+                      |
//!          v            stamp = generations now?                                v
//!   lend it to the caller, raise the mark, unpin             what was there -> limbo -> freed when no pin is older
//! ```
//!
//! | file | is | unsafe |
//! |---|---|---|
//! | `answers` | names and classes in, answers out | no |
//! | `viewed` | the same of answers that are not everybody's | no |
//! | `core` | both shelves, generations and epoch, by hash | one block |
//! | `flights` | one reading of the store for all who miss at once | no |
//! | `generation` | which answers are still true | no |
//! | `shelf` | filling, evicting, resizing | no |
//! | `table`, `set` | where an answer stands, and which one goes | no |
//! | `ledger` | what a shelf may take, and takes | no |
//! | `entry` | an answer in one allocation, and its count | yes |
//! | `draft` | an answer's parts, before it is an entry | no |
//! | `reclaim`, `limbo` | pins and epoch; what waits to be freed | yes |
//! | `barrier`, `threads` | the barrier between readers and reclaiming; a number for each thread | no |
//! | `fetch` | asks memory early | one instruction |
//! | `hash`, `sync` | the keyed hash; the atomics, with names for the orderings | no |
//!
//! # Coherence
//! Once a write is acknowledged no later read on this node returns what was before it.
//! - Every name has a generation, every prefix too. A fill takes both as its stamp BEFORE it reads the record store.
//! - A commit raises the name's generation after its rows are visible and before anybody is told ([`AnswerCache::changed`]); a
//!   purge raises the prefix's ([`AnswerCache::purge`]).
//! - A hit counts only if the entry's stamp is what the generations say now.
//!
//! Let a read begin after a commit was acknowledged, and suppose that it hits. It read the generation after the acknowledgement,
//! which was after the raising, so it found the raised value or a later one; the entry's stamp says the same (GENERATION), and
//! no other value it could be mistaken for (NO RETURN). So the fill took its stamp after the raising, and read the store after
//! that; raising came after the rows were visible, so it read the rows. There is no moment between "insert" and "take it out
//! again", because nothing needs to be taken out: where the entry stands, whether it was evicted, moved by a resize or put there
//! twice does not enter into it. A follower of a [flight](flights) gets an answer that was begun under its own stamp (FLIGHT).
//!
//! # Invariants, by file
//! GENERATION, NO RETURN: `generation`. FLIGHT: `flights`. ONE WRITER: `set`. RESERVED, BOUNDED LIMBO: `ledger`. LAYOUT, FROZEN,
//! HELD: `entry`. PUBLISHED, UNLINKED FIRST, PINNED, OWN SLOT, ONE DOMAIN, ONE HAND: `reclaim`. Each has a model under loom, and seeded bugs
//! that the model must find (`tests/models/cache`).
//!
//! # What a look costs, and who may wait
//! A look is a store to a line that the thread has to itself, and loads: the name's generation, the set, the entry. There is no
//! locked instruction and no fence where the kernel passes the barrier for readers (`barrier`). What it waits for is memory, twice:
//! the lines of the set come together, and then those of the entry, for the place says how long it is. It writes nothing that
//! other readers write, but a mark in the set when the answer is not known to be hot yet. It waits for nobody. A fill waits for
//! nobody either: it declines. Followers of a flight wait for their leader, as long as they choose. A resize waits for fills that
//! are at a set. `benches/cache` has figures, beside those of libraries.
//!
//! # By itself
//! The module needs `bytes` (for handles as bodies), `rustix` (for the barrier, on Linux only) and nothing else of this project:
//! `benches/cache` compiles it alone, and `tests/models/cache` its core.
//!
//! # What it does not promise
//! - That an answer which was filled is found: admission may decline it, a busy set does, a stalled reader can.
//! - Memory while a reader stays open (or is forgotten): what it may see stays, at most 1/64 of the budget; beyond it fills are declined.
//! - Room while handles are held: what they hold counts; what is not held may still be exchanged.
//! - Speed for more than 128 threads that read at once: the others share 32 slots, by compare and exchange.
//! - The bytes that the allocator rounds up to; the bytes that `Bytes` allocates for [`AnswerCache::find`].
//! - An order between two names, or that two classes of one name change together.
//! - Which answers stay: counters are advice, and may lose a count.

mod answers;
mod barrier;
mod core;
mod draft;
#[expect(
    unsafe_code,
    reason = "an allocation of its own for each entry: header and bytes in one; the invariants are named there"
)]
mod entry;
#[expect(unsafe_code, reason = "one instruction that asks memory for a line, and reads nothing")]
mod fetch;
mod flights;
mod generation;
mod hash;
mod ledger;
#[expect(
    unsafe_code,
    reason = "memory that is given back once nobody can read it; the invariants are named in `reclaim`"
)]
mod limbo;
#[expect(
    unsafe_code,
    reason = "memory that may still be read when it is out of its place; the invariants are named there"
)]
mod reclaim;
mod set;
mod shelf;
mod sync;
mod table;
mod threads;
mod viewed;

pub use self::answers::{Answer, AnswerCache, NameHash, OpenCache, ViewClass};
pub use self::core::{Counters, Fill, Hit, ShelfSize};
pub use self::draft::Draft;
pub use self::entry::{Entry, Held};
pub use self::flights::{Follower, Leader, Role};
pub use self::ledger::{Balance, Declined};
pub use self::reclaim::Seen;
