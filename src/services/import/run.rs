//! The work of a job.
use super::job::Job;
use crate::services::Services;
use std::sync::Arc;
pub(super) fn run(_services: &Arc<Services>, _places: &tokio::sync::Semaphore, _job: &Job) {}
