//! What a mirror had reached before this start: its own journal says. The newest head that it was shown lies beside it, written
//! before the first statement that this head brings, so that neither a fork nor a rollback hides behind a kill.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::halt::Halt;
use super::order::{Order, replace};
use crate::services::Services;
use crate::services::follow::Memory;
use crate::services::log::Published;
use crate::store::trees::Tree;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::Head;
use crate::tlog::note::Note;
use crate::tlog::proof;

/// The newest head that the origin showed, as it signed it.
const SEEN_FILE: &str = "mirror.seen";

/// Keeps a head that was believed, before anything of it is.
pub(super) fn keep_seen(folder: &Path, note: &[u8]) -> io::Result<()> {
    replace(folder, SEEN_FILE, note)
}

/// The newest head in the journal, held against the tree as it is; `None` before the first.
pub(super) fn published(services: &Services) -> Result<Option<Published>, Halt> {
    let Some((heads, Some(place))) = services.store.trees().heads() else {
        return Ok(None);
    };
    let (_, frame) = services.store.statement(place).map_err(|error| Halt::Own(error.to_string()))?;
    let Some(published) = services.log.signer().read(&frame) else {
        return Ok(None);
    };
    if is_ours(services, &heads.registry, &published.heads.registry)? {
        return Ok(Some(published));
    }
    Err(Halt::OtherRoot { size: published.heads.registry.size })
}

fn is_ours(services: &Services, now: &Head, head: &Head) -> Result<bool, Halt> {
    let reader = services.store.trees().reader(Tree::Registry);
    if head.size > now.size {
        return Ok(false);
    }
    let root =
        proof::root(&reader, head.size).map_err(|error| Halt::Own(format!("the tree does not read: {error}")))?;
    Ok(root == head.root)
}

/// What a follower goes on from.
pub(super) fn memory(services: &Services, order: &Order, done: Head) -> Memory {
    if done.size == 0 && services.log.published().is_none() {
        return seen(services, order, done).unwrap_or_default();
    }
    let newest = || {
        let published = services.log.published()?;
        remembered(done, published.note())
    };
    seen(services, order, done).or_else(newest).unwrap_or_else(|| Memory::of(order.origin.clone(), done))
}

fn seen(services: &Services, order: &Order, done: Head) -> Option<Memory> {
    let bytes = fs::read(services.settings.data_folder.join(SEEN_FILE)).ok()?;
    let note = Note::parse_bytes(&bytes).ok()?;
    // Nobody but the log signed it, whoever may have laid it there.
    order.policy.judge(&note).ok()?;
    remembered(done, &note)
}

/// A head that the follower goes on from, unless more than it covers is here already.
fn remembered(done: Head, note: &Note) -> Option<Memory> {
    let checkpoint = Checkpoint::of_note(note).ok()?;
    let memory = json!({
        "origin": checkpoint.origin,
        "size": done.size,
        "root": BASE64.encode(done.root),
        "checkpoint": note.to_string(),
    });
    Memory::decode(memory.to_string().as_bytes()).ok()
}
