//! Reading: one name, many at once, names as they come; the versions of a record.
//!
//! A streamed answer is made as its client takes it: a question is read when its answer's turn has come, so a slow reader
//! costs one message of each kind.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use super::call::Caller;
use super::record;
use super::wire::v1 as wire;
use super::wire::v1::resolver_server::Resolver;
use crate::codec::http::Desk;
use crate::codec::http::failure::Failure;
use crate::codec::http::history::{MOST_VERSIONS, USUAL_VERSIONS, place};
use crate::codec::http::resolve::{MAX_FILTERS, below};
use crate::codec::problem::{Code, Problem};
use crate::model::time::Timestamp;
use crate::observe::laps::Step;
use crate::services::compare::Compare;
use crate::services::history::History;
use crate::services::resolve::{At, Resolve};

/// A stream of answers.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers in a row before other calls of the worker have their turn.
const FAIR_TURN: u32 = 64;

#[derive(Clone)]
pub(super) struct Reading(pub Arc<Desk>);

#[tonic::async_trait]
impl Resolver for Reading {
    type ResolveBatchStream = Answers<wire::ResolveResult>;
    type ResolveStreamStream = Answers<wire::ResolveResult>;

    async fn resolve(&self, request: Request<wire::ResolveRequest>) -> Result<Response<wire::Resolution>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let resolution = self.resolution(&caller, asked).await;
        resolution.map(Response::new).map_err(|failure| caller.status(failure))
    }

    async fn resolve_batch(
        &self,
        request: Request<wire::ResolveBatchRequest>,
    ) -> Result<Response<Self::ResolveBatchStream>, Status> {
        let (caller, batch) = Caller::of(request)?;
        let (count, most) = (batch.identifiers.len(), self.0.limits.batch_identifiers);
        if count as u64 > most {
            let problem = Problem::new(Code::BatchTooLarge)
                .with_detail(format!("共 {count} 个标识，上限 {most}"), format!("{count} identifiers, at most {most}"));
            return Err(caller.status(problem.into()));
        }
        let this = self.clone();
        let names = batch.identifiers.into_iter();
        let answers = stream::unfold((names, 0), move |(mut names, turn)| {
            let (this, caller) = (this.clone(), Arc::clone(&caller));
            async move {
                let asked = wire::ResolveRequest { identifier: names.next()?, ..wire::ResolveRequest::default() };
                let turn = taken(turn).await;
                Some((Ok(this.result(&caller, asked).await), (names, turn)))
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn resolve_stream(
        &self,
        request: Request<Streaming<wire::ResolveRequest>>,
    ) -> Result<Response<Self::ResolveStreamStream>, Status> {
        let (caller, questions) = Caller::of(request)?;
        let this = self.clone();
        let answers = stream::unfold((Some(questions), 0), move |(questions, turn)| {
            let (this, caller) = (this.clone(), Arc::clone(&caller));
            async move {
                let mut questions = questions?;
                let turn = taken(turn).await;
                match questions.message().await {
                    Ok(Some(asked)) => Some((Ok(this.result(&caller, asked).await), (Some(questions), turn))),
                    Ok(None) => None,
                    // It cannot pass for complete.
                    Err(status) => Some((Err(caller.status(caller.unread(&status))), (None, turn))),
                }
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn history(&self, request: Request<wire::HistoryRequest>) -> Result<Response<wire::HistoryPage>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let page = self.versions(&caller, asked).await;
        page.map(Response::new).map_err(|failure| caller.status(failure))
    }

    async fn compare(&self, request: Request<wire::CompareRequest>) -> Result<Response<wire::Comparison>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let comparison = self.comparison(&caller, asked).await;
        comparison.map(Response::new).map_err(|failure| caller.status(failure))
    }
}

/// Counts an answer; after some of them others have their turn.
async fn taken(turn: u32) -> u32 {
    if turn == FAIR_TURN {
        tokio::task::yield_now().await;
        return 1;
    }
    turn + 1
}

impl Reading {
    async fn resolution(&self, caller: &Caller, asked: wire::ResolveRequest) -> Result<wire::Resolution, Failure> {
        let desk = &self.0;
        let asked = caller.permit(question(asked, desk.limits.history_bytes)?)?;
        let resolution = if asked.request().at.is_some() {
            desk.aside(move |services| services.resolve(&asked)).await
        } else {
            desk.services.resolve(&asked)
        };
        let resolution = desk.services.noted(resolution?).await;
        caller.laps.end(Step::Service);
        let resolution = record::resolution(&resolution?);
        caller.laps.end(Step::Encode);
        Ok(resolution)
    }

    /// The answer to one of several questions: it fails alone.
    async fn result(&self, caller: &Caller, asked: wire::ResolveRequest) -> wire::ResolveResult {
        let identifier = asked.identifier.clone();
        let outcome = match self.resolution(caller, asked).await {
            Ok(resolution) => wire::resolve_result::Outcome::Resolution(resolution),
            Err(failure) => {
                let problem = record::problem(&caller.problem(failure), caller.language);
                wire::resolve_result::Outcome::Problem(problem)
            }
        };
        wire::ResolveResult { identifier, outcome: Some(outcome) }
    }

    async fn versions(&self, caller: &Caller, asked: wire::HistoryRequest) -> Result<wire::HistoryPage, Failure> {
        let limit = match usize::try_from(asked.limit) {
            Ok(0) => USUAL_VERSIONS,
            Ok(limit) if limit <= MOST_VERSIONS => limit,
            _ => {
                let (zh, en) = (format!("应为 1 至 {MOST_VERSIONS}"), format!("must be from 1 to {MOST_VERSIONS}"));
                return Err(Failure::query("limit", &zh, &en));
            }
        };
        let after = if asked.cursor.is_empty() { None } else { Some(place(&asked.cursor)?) };
        let most_bytes = self.0.limits.history_bytes;
        let question = History { identifier: asked.identifier, after, limit, changes: asked.diff, most_bytes };
        let asked = caller.permit(question)?;
        let page = self.0.aside(move |services| services.history(&asked)).await;
        let page = self.0.services.noted(page?).await;
        caller.laps.end(Step::Service);
        let page = record::history(&page?);
        caller.laps.end(Step::Encode);
        Ok(page)
    }

    async fn comparison(&self, caller: &Caller, asked: wire::CompareRequest) -> Result<wire::Comparison, Failure> {
        use wire::compare_request::{From, To};
        let from = match asked.from {
            Some(From::FromVersion(version)) => At::Version(version),
            Some(From::FromTime(time)) => At::Time(moment("from", &time)?),
            None => return Err(Failure::query("from", "须给出版本号或时间", "a version number or a time is needed")),
        };
        let to = match asked.to {
            None => None,
            Some(To::ToVersion(version)) => Some(At::Version(version)),
            Some(To::ToTime(time)) => Some(At::Time(moment("to", &time)?)),
        };
        let most_bytes = self.0.limits.history_bytes;
        let asked = caller.permit(Compare { identifier: asked.identifier, from, to, most_bytes })?;
        let compared = self.0.aside(move |services| services.compare(&asked)).await;
        let compared = self.0.services.noted(compared?).await;
        caller.laps.end(Step::Service);
        let comparison = record::comparison(&compared?);
        caller.laps.end(Step::Encode);
        Ok(comparison)
    }
}

fn moment(name: &str, time: &prost_types::Timestamp) -> Result<Timestamp, Failure> {
    Timestamp::from_seconds(time.seconds)
        .map_err(|_| Failure::query(name, "超出可表示的年份", "beyond the years that can be told"))
}

fn question(asked: wire::ResolveRequest, most_bytes: u64) -> Result<Resolve, Failure> {
    if asked.types.len() + asked.indexes.len() > MAX_FILTERS {
        return Err(Failure::query("types", "筛选条件过多", "too many types and indexes"));
    }
    if asked.types.iter().any(String::is_empty) {
        return Err(Failure::query("types", "值为空", "a value is empty"));
    }
    if asked.indexes.contains(&0) {
        return Err(Failure::query("indexes", "应为正整数", "must be whole numbers from 1"));
    }
    let at = match asked.at {
        None => None,
        Some(wire::resolve_request::At::Version(version)) => Some(At::Version(version)),
        Some(wire::resolve_request::At::Time(time)) => Some(At::Time(moment("time", &time)?)),
    };
    let cursor = Some(asked.cursor.as_str()).filter(|cursor| !cursor.is_empty());
    Ok(Resolve {
        identifier: asked.identifier,
        types: asked.types,
        indexes: asked.indexes,
        at,
        below: below(at, cursor)?,
        most_bytes,
        entry: asked.entry,
    })
}
