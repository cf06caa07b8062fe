//! A mirror that is opened, brought to its origin's head of now, and closed: nothing listens.

use std::sync::Arc;

use super::operator::Process;
use super::serve::ServeError;
use super::{EndProcess, Node, StartError};
use crate::codec::resolution::ResolutionJson;
use crate::config::Config;
use crate::services::mirror::{Halt, Reached, follow_once};

/// Follows once. The inner error is the origin's, or passes.
pub fn mirror_once(config: &Config, process: Process) -> Result<Result<Reached, Halt>, ServeError> {
    let Some(order) = process.mirror.clone() else {
        return Err(StartError::IsMirror(config.node.data.clone()).into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (node, done) = runtime.block_on(async {
        let encoder = Arc::new(ResolutionJson);
        let node = Node::open_in(process, config, encoder, Arc::new(EndProcess)).await?;
        let metrics = node.metrics.mirror.of(&order.origin);
        let done = follow_once(&node.services, metrics, order).await;
        Ok::<_, StartError>((node, done))
    })?;
    // Waits for its own threads, which no thread that runs a runtime may do.
    drop(runtime);
    node.services.store.stop();
    Ok(done)
}
