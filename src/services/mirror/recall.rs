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
use crate::model::text::Text;
use crate::services::Services;
use crate::services::follow::{Evidence, Memory};
use crate::services::log::Published;
use crate::store::trees::Tree;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::Head;
use crate::tlog::note::Note;
use crate::tlog::proof;

/// The newest head that the origin showed, as it signed it.
const SEEN_FILE: &str = "mirror.seen";

/// Keeps a head that was believed, before anything of it is.
pub(super) fn keep_seen(folder: &Path, note: &[u8]) -> Result<(), Halt> {
    replace(folder, SEEN_FILE, note)
        .map_err(|error| Halt::Own(format!("the head could not be kept: {}", Text::of_io(&error).en)))
}

/// The newest head in the journal, held against the tree as it is; `None` before the first that the pinned keys signed.
pub(super) fn published(services: &Services) -> Result<Option<Published>, Halt> {
    let Some((heads, Some(place))) = services.store.trees().heads() else {
        return Ok(None);
    };
    let (_, frame) = services.store.statement(place).map_err(|error| Halt::Own(error.to_string()))?;
    let Some(published) = services.log.signer().read(&frame) else {
        return Ok(None);
    };
    // By keys that are no longer pinned: it is not shown to those who pin the new ones.
    if !services.log.signer().made(&published) {
        return Ok(None);
    }
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
pub(super) fn memory(services: &Services, order: &Order, done: Head) -> Result<Memory, Halt> {
    if let Some(seen) = seen(&services.settings.data_folder, order, done)? {
        return Ok(seen);
    }
    let published = services.log.published().filter(|_| done.size > 0);
    let newest = published.and_then(|published| remembered(done, published.note()));
    Ok(newest.unwrap_or_else(|| Memory::of(order.origin.clone(), done)))
}

/// The newest head that was seen, unless more than it covers is here already. That it is there and does not read is no reason to
/// go on without it: a fork or a rollback would hide behind that.
fn seen(folder: &Path, order: &Order, done: Head) -> Result<Option<Memory>, Halt> {
    let path = folder.join(SEEN_FILE);
    let refused = |what: &str| {
        Halt::Own(format!(
            "{}: {what}; repair it (owner, rights, disk), pin the key that signed it beside the new one, or, once the origin's \
             newest checkpoint was compared with a witness's or another mirror's, remove the file",
            path.display()
        ))
    };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(&Text::of_io(&error).en)),
    };
    let note = Note::parse_bytes(&bytes).map_err(|_| refused("the newest head that was seen does not read"))?;
    // Nobody but the log signed it, whoever may have laid it there.
    let verdict = order.policy.judge(&note);
    let checkpoint =
        verdict.map_err(|_| refused("no key that is pinned signed the newest head that was seen"))?.checkpoint;
    if checkpoint.origin != order.origin {
        return Err(refused("the newest head that was seen is another log's"));
    }
    if checkpoint.size < done.size {
        return Ok(None);
    }
    remembered(done, &note).map(Some).ok_or_else(|| refused("the newest head that was seen does not read"))
}

/// What an older head than was seen before tells: nothing where it is of the log that is here, else that there are two.
pub(super) fn older(services: &Services, remembered: u64, evidence: Box<Evidence>) -> Halt {
    let note = Note::parse(&evidence.shown).ok();
    let Some(shown) = note.and_then(|note| Checkpoint::of_note(&note).ok()) else {
        return Halt::Own("the head that is shown does not read".to_owned());
    };
    let Some((heads, _)) = services.store.trees().heads() else {
        return Halt::Own("the trees are being made from the journal".to_owned());
    };
    let (size, head) = (shown.size, shown.head());
    // Between what is here and what was seen nothing tells: the next head that is not older will.
    if size > heads.registry.size {
        return Halt::Stale { remembered, shown: size };
    }
    match is_ours(services, &heads.registry, &head) {
        Ok(true) => Halt::Stale { remembered, shown: size },
        Ok(false) => Halt::OtherPast { shown: size, evidence },
        Err(halt) => halt,
    }
}

/// A head that the follower goes on from.
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
