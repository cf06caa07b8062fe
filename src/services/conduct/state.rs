//! What an audit of an audit tree keeps from one time to the next: the newest head of each tree, and the keys that the registry
//! had authorised by then, so that only what was added to the registry is read again. Who can change it can hide a fork, or pass
//! a key off as the log's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::authorities::Known;
use crate::services::audit::keys::Succession;
use crate::services::follow::memory::MEMORY_LIMIT_BYTES;
use crate::services::follow::{FollowError, Memory};

/// The most bytes of a state that is read: two memories, and the keys of the longest log.
pub const STATE_LIMIT_BYTES: usize = 2 * MEMORY_LIMIT_BYTES + (8 << 20);
/// What sets it apart from other states.
const TREE: &str = "audit";

/// As a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    tree: String,
    audit: Json,
    registry: Json,
    keys: Succession,
    ends: BTreeMap<String, u64>,
    issuer: Option<String>,
}

/// What was kept; at first nothing.
#[derive(Default)]
pub struct State {
    pub audit: Memory,
    pub registry: Memory,
    pub known: Known,
}

impl State {
    pub fn decode(bytes: &[u8]) -> Result<State, FollowError> {
        let kept: Kept = serde_json::from_slice(bytes).map_err(|_| FollowError::Memory("it is not its JSON"))?;
        let memory = |json: &Json| Memory::decode(json.to_string().as_bytes());
        let known = Known { keys: kept.keys, ends: kept.ends, issuer: kept.issuer };
        Ok(State { audit: memory(&kept.audit)?.from_the_start(), registry: memory(&kept.registry)?, known })
    }

    /// Fails only where a memory does not read as it was written.
    pub fn encode(audit: &Memory, registry: &Memory, known: &Known) -> Result<Vec<u8>, serde_json::Error> {
        let json = |memory: &Memory| serde_json::from_slice(&memory.encode());
        serde_json::to_vec_pretty(&Kept {
            tree: TREE.to_owned(),
            audit: json(audit)?,
            registry: json(registry)?,
            keys: known.keys.clone(),
            ends: known.ends.clone(),
            issuer: known.issuer.clone(),
        })
    }
}

/// Whether a state is one of an audit tree.
#[must_use]
pub fn is_of_conduct(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct OfTree {
        tree: String,
    }
    serde_json::from_slice::<OfTree>(bytes).is_ok_and(|state| state.tree == TREE)
}
