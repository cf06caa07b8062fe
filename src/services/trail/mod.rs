//! The audit trail: who did what on this node, of both trees of the journal in its order.
//!
//! Only what the newest signed head covers, so that whatever is told can be proven. What is read is bounded twice: by the leaves
//! and bytes of a step, and by those of a page, which may therefore end before it is full. Times decide nothing of the way:
//! a clock may have been set back, so no leaf says that none behind it is earlier or later. Not whether the log is what it must
//! be: that is `audit`.
//!
//! - `wanted`: which events.

mod wanted;

use std::ops::Range;

pub use self::wanted::{EventName, Wanted};
use super::log::{rotten, unread};
use super::{ServiceError, Services};
use crate::model::identifier::CanonicalKey;
use crate::model::permitted::Permitted;
use crate::model::time::Timestamp;
use crate::sign::event::Event;
use crate::store::journal::Location;
use crate::store::journal::sequences::Counted;
use crate::store::rows::leaf_hash;
use crate::store::trees::Tree;
use crate::tlog::hash::Hash;

/// The most leaves that are looked at in one step. Backwards, a step begins with a walk over the heads of a segment's groups,
/// which more leaves share.
const STEP_LEAVES: u64 = 1_024;
/// No more leaves are read in one step after so many bytes.
const STEP_BYTES: u64 = 4 << 20;
/// The same of one page.
const PAGE_LEAVES: u64 = 8_192;
const PAGE_BYTES: u64 = 16 << 20;

/// Which end of the journal comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Newest,
    Oldest,
}

/// Where a page has ended: the leaf of each tree that comes next, or, backwards, the one behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub order: Order,
    pub registry: u64,
    pub audit: u64,
}

/// What is still to be looked at.
#[derive(Clone, Debug)]
pub struct Trail {
    order: Order,
    registry: Range<u64>,
    audit: Range<u64>,
    /// The last frame whose sequence was found.
    near: Option<Counted>,
}

/// An event, and the leaf that proves it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Of its frame in the journal.
    pub sequence: u64,
    /// The leaf's own.
    pub time: Timestamp,
    pub event: Event,
    pub tree: Tree,
    /// In that tree.
    pub index: u64,
}

/// Some of the events.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<Told>,
    /// Where to go on; `None`: nothing is left.
    pub next: Option<Place>,
}

/// What a step has looked at.
struct Step {
    events: Vec<Told>,
    leaves: u64,
    bytes: u64,
}

struct Leaf {
    tree: Tree,
    index: u64,
    place: Location,
    hash: Hash,
}

impl Trail {
    fn range(&mut self, tree: Tree) -> &mut Range<u64> {
        match tree {
            Tree::Registry => &mut self.registry,
            Tree::Audit => &mut self.audit,
        }
    }

    /// The leaves of a tree that come next, as far as one step reaches.
    fn ahead(&self, tree: Tree) -> Range<u64> {
        let range = if tree == Tree::Registry { &self.registry } else { &self.audit };
        match self.order {
            Order::Newest => range.end.saturating_sub(STEP_LEAVES).max(range.start)..range.end,
            Order::Oldest => range.start..range.start.saturating_add(STEP_LEAVES).min(range.end),
        }
    }

    fn pass(&mut self, leaf: &Leaf) {
        let order = self.order;
        let range = self.range(leaf.tree);
        match order {
            Order::Newest => range.end = leaf.index,
            Order::Oldest => range.start = leaf.index + 1,
        }
    }

    /// Whether all is looked at that is wanted.
    #[must_use]
    pub fn is_over(&self, wanted: &Wanted) -> bool {
        trees(wanted).all(|tree| self.ahead(tree).is_empty())
    }

    fn place(&self) -> Place {
        let (registry, audit) = match self.order {
            Order::Newest => (self.registry.end, self.audit.end),
            Order::Oldest => (self.registry.start, self.audit.start),
        };
        Place { order: self.order, registry, audit }
    }
}

impl Services {
    /// The way from a place, or from an end of what the newest head covers. Its other end does not move while it is gone.
    pub fn trail(&self, _asked: &Permitted<Wanted>, order: Order, from: Option<Place>) -> Result<Trail, ServiceError> {
        // A mirror has no audit tree, and does not know who asked for what the other holds.
        self.writes()?;
        let published = self.heads()?;
        let (registry, audit) = (published.head(Tree::Registry).size, published.head(Tree::Audit).size);
        let (registry, audit) = match from {
            None => (0..registry, 0..audit),
            // Of a log that went further before it was restored, or of nobody.
            Some(place) if place.order != order || place.registry > registry || place.audit > audit => {
                return Err(ServiceError::BadCursor);
            }
            Some(place) if order == Order::Newest => (0..place.registry, 0..place.audit),
            Some(place) => (place.registry..registry, place.audit..audit),
        };
        Ok(Trail { order, registry, audit, near: None })
    }

    /// So many events at most, from where the trail is. Reads the disk.
    pub fn trail_page(&self, asked: &Permitted<Wanted>, mut trail: Trail, limit: usize) -> Result<Page, ServiceError> {
        let (mut events, mut leaves, mut bytes) = (Vec::new(), 0, 0);
        while !trail.is_over(asked.request()) && events.len() < limit && leaves < PAGE_LEAVES && bytes < PAGE_BYTES {
            let step = self.trail_read(asked, &mut trail, limit - events.len())?;
            events.extend(step.events);
            leaves += step.leaves;
            bytes += step.bytes;
        }
        let next = (!trail.is_over(asked.request())).then(|| trail.place());
        Ok(Page { events, next })
    }

    /// The events among some leaves, of which there is at least one before the trail is over. Reads the disk.
    pub fn trail_step(&self, asked: &Permitted<Wanted>, trail: &mut Trail) -> Result<Vec<Told>, ServiceError> {
        self.trail_read(asked, trail, usize::MAX).map(|step| step.events)
    }

    fn trail_read(&self, asked: &Permitted<Wanted>, trail: &mut Trail, limit: usize) -> Result<Step, ServiceError> {
        let wanted = asked.request();
        let mut leaves = Vec::new();
        for tree in trees(wanted) {
            leaves.extend(self.leaves_of(tree, trail.ahead(tree))?);
        }
        // The journal's own order, in which frames stand as their sequences count.
        leaves.sort_unstable_by_key(|leaf| leaf.place);
        if trail.order == Order::Newest {
            leaves.reverse();
        }
        let mut step = Step { events: Vec::new(), leaves: 0, bytes: 0 };
        let mut places = Vec::new();
        for leaf in leaves {
            if step.leaves >= STEP_LEAVES || step.bytes >= STEP_BYTES || step.events.len() >= limit {
                break;
            }
            step.leaves += 1;
            step.bytes += u64::from(leaf.place.length);
            if let Some(told) = self.event_at(wanted, &leaf)? {
                step.events.push(told);
                places.push(leaf.place);
            }
            trail.pass(&leaf);
        }
        self.give_sequences(&mut step.events, &places, trail)?;
        Ok(step)
    }

    fn leaves_of(&self, tree: Tree, indices: Range<u64>) -> Result<Vec<Leaf>, ServiceError> {
        let reader = self.store.trees().reader(tree);
        let places = reader.places(indices.start, indices.end - indices.start).map_err(unread)?;
        let hashes = reader.row(0, indices.clone()).map_err(unread)?;
        if places.len() != hashes.len() {
            return Err(rotten("the places of the tree's leaves"));
        }
        let leaves = indices.zip(places).zip(hashes);
        Ok(leaves.map(|((index, place), hash)| Leaf { tree, index, place, hash }).collect())
    }

    /// The event of a leaf, if it is wanted. Its sequence is not known yet.
    fn event_at(&self, wanted: &Wanted, leaf: &Leaf) -> Result<Option<Told>, ServiceError> {
        let frame = self.store.frame(leaf.place)?;
        let time = Timestamp::from_seconds(frame.meta.time).unwrap_or(Timestamp::EPOCH);
        if !wanted.covers(time) {
            return Ok(None);
        }
        if leaf_hash(&frame.statement) != leaf.hash {
            return Err(rotten("a statement in the journal, or its place in the tree"));
        }
        let event = Event::of(&frame).map_err(ServiceError::Internal)?;
        let key_of = |text: &str| -> Option<CanonicalKey> { Some(self.identifier(text).ok()?.key().clone()) };
        let is_wanted = wanted.means(&event, key_of);
        Ok(is_wanted.then_some(Told { sequence: 0, time, event, tree: leaf.tree, index: leaf.index }))
    }

    /// Gives events their sequences: forwards, for that costs a head each and the other way a walk.
    fn give_sequences(&self, events: &mut [Told], places: &[Location], trail: &mut Trail) -> Result<(), ServiceError> {
        let mut found: Vec<(&mut Told, Location)> = events.iter_mut().zip(places.iter().copied()).collect();
        found.sort_unstable_by_key(|(_, place)| *place);
        for (told, place) in found {
            told.sequence = self.store.sequence(place, &mut trail.near)?;
        }
        Ok(())
    }
}

fn trees(wanted: &Wanted) -> impl Iterator<Item = Tree> + use<> {
    let only = wanted.tree;
    [Tree::Registry, Tree::Audit].into_iter().filter(move |tree| only.is_none_or(|only| only == *tree))
}
