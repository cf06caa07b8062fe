//! Once: a request with an idempotency key is done once, and answered the same whenever it is repeated.

use super::register::Registered;
use super::{ServiceError, Services};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::time::Timestamp;
use crate::store::journal::Idempotency;
use crate::store::rows::RequestRow;

/// Asks what became of a request.
#[derive(Clone, Debug)]
pub struct RequestStatus {
    pub key: String,
}

impl Asks for RequestStatus {
    const ACTION: Action = Action::Register;
}

impl Services {
    /// What became of a request, by its idempotency key.
    pub fn request(&self, asked: &Permitted<RequestStatus>) -> Result<Registered, ServiceError> {
        let (principal, key) = (&asked.principal().id, &asked.request().key);
        if self.running.lock().contains(&(principal.clone(), key.clone())) {
            return Err(ServiceError::IdempotencyRunning);
        }
        let row = self.store.request(principal, key, Timestamp::now().as_seconds())?;
        row.map_or(Err(ServiceError::UnknownRequest), |row| self.repeated(&row, key))
    }

    /// Whether this request is new; holds its key while it runs.
    pub(super) fn first_time(
        &self,
        principal: &str,
        idempotency: Option<&Idempotency>,
        about: &str,
    ) -> Result<FirstTime<'_>, ServiceError> {
        let Some(idempotency) = idempotency else {
            return Ok(FirstTime::Yes(None));
        };
        let name = (principal.to_owned(), idempotency.key.clone());
        if !self.running.lock().insert(name.clone()) {
            return Err(ServiceError::IdempotencyRunning);
        }
        let running = Running { services: self, name };
        let done = self.done_before(principal, Some(idempotency), about)?;
        Ok(done.map_or(FirstTime::Yes(Some(running)), FirstTime::No))
    }

    /// What this request has led to already, if anything.
    pub(super) fn done_before(
        &self,
        principal: &str,
        idempotency: Option<&Idempotency>,
        about: &str,
    ) -> Result<Option<Registered>, ServiceError> {
        let Some(idempotency) = idempotency else {
            return Ok(None);
        };
        match self.store.request(principal, &idempotency.key, Timestamp::now().as_seconds())? {
            None => Ok(None),
            Some(row) if row.request == idempotency.request => self.repeated(&row, about).map(Some),
            Some(_) => Err(ServiceError::IdempotencyMismatch),
        }
    }

    /// The first answer again. `about`: what a failure names, the identifier or, where that is not known, the key.
    pub(super) fn repeated(&self, row: &RequestRow, about: &str) -> Result<Registered, ServiceError> {
        let unread = |error| ServiceError::of_reading(about, error);
        let frame = self.store.frame(row.location).map_err(|error| unread(error.into()))?;
        let record = self.store.record_of(&frame).map_err(unread)?;
        Ok(Registered {
            identifier: record.map(|record| record.identifier.spelling().to_owned()),
            version: row.version,
            effect: row.effect,
            time: Timestamp::from_seconds(row.time).unwrap_or(Timestamp::EPOCH),
            index: row.index,
            leaf: row.leaf,
            repeated: true,
        })
    }
}

pub(super) enum FirstTime<'a> {
    Yes(Option<Running<'a>>),
    No(Registered),
}

/// Holds an idempotency key while its request runs.
pub(super) struct Running<'a> {
    services: &'a Services,
    name: (String, String),
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.services.running.lock().remove(&self.name);
    }
}
