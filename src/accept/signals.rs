//! SIGTERM and SIGINT to the lifecycle: the first drains, the second stops at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use super::lifecycle::{Lifecycle, Phase};

/// Listens on a thread of its own, so that a busy worker cannot delay a stop. The thread ends with the node.
pub fn stop_on_signals(lifecycle: Lifecycle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            while lifecycle.phase() != Phase::Stopped {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::info!(phase = ?lifecycle.phase(), "asked to stop; a second signal stops at once");
                lifecycle.stop();
            }
        });
    })?;
    Ok(())
}
