//! What falls due from time to time, on a thread of its own: imports that ended long ago are removed, uses of keys written
//! down, and, more often, what was refused to whom and how often grants were used.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::model::time::Timestamp;
use crate::services::Services;
use crate::services::import::OldImports;

/// How often a step is made: 147,456 jobs a day are looked at.
pub const INTERVAL: Duration = Duration::from_secs(600);
/// In how many parts a step is waited for; sums for the audit tree are written after each.
const PARTS: u32 = 10;

/// The thread; it has ended once this is dropped.
pub struct Housekeeping {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes a step every `interval`.
pub fn keep_house(services: Arc<Services>, interval: Duration) -> io::Result<Housekeeping> {
    let (stop, stopped) = bounded(0);
    let work = move || {
        let mut walk = OldImports::default();
        let mut part = 0;
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval / PARTS) {
            services.write_denials();
            services.write_grant_uses();
            part = (part + 1) % PARTS;
            if part == 0 {
                look_through_imports(&services, &mut walk);
                services.save_key_uses();
            }
        }
    };
    let thread = std::thread::Builder::new().name("housekeeping".to_owned()).spawn(work)?;
    Ok(Housekeeping { stop: Some(stop), thread: Some(thread) })
}

/// One step of the search for old imports. What fails is told and tried again at a later step.
pub(super) fn look_through_imports(services: &Services, walk: &mut OldImports) {
    match services.remove_old_imports(walk, Timestamp::now()) {
        Ok(0) => {}
        Ok(jobs) => tracing::info!(jobs, "imports that ended longer ago than import.keep_days were removed"),
        Err(error) => tracing::warn!(%error, "the imports could not be looked through"),
    }
}
