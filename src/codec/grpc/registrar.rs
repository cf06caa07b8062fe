//! Writing: create, replace, change, delete, mint; what became of a change.

use std::sync::Arc;

use prost::Message;
use ring::digest::{Context, SHA256};
use tonic::{Request, Response, Status};

use super::call::Caller;
use super::wire::v1 as wire;
use super::wire::v1::registrar_server::Registrar;
use super::{draft, record};
use crate::codec::http::Desk;
use crate::codec::http::failure::Failure;
use crate::codec::http::preconditions::is_key;
use crate::codec::problem::{Code, Problem};
use crate::model::draft::{Draft, DraftPatch, FieldError};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::list::ReadRecord;
use crate::services::once::RequestStatus;
use crate::services::register::{Change, Mint, Precondition, Register, Registered};
use crate::store::journal::Idempotency;

#[derive(Clone)]
pub(super) struct Writing(pub Arc<Desk>);

#[tonic::async_trait]
impl Registrar for Writing {
    async fn register(&self, request: Request<wire::RegisterRequest>) -> Result<Response<wire::Registered>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let idempotency = idempotency(caller.method.path, &asked.idempotency_key, &asked);
        let change = self.draft(asked.draft).map(Change::Put);
        let parts = Parts { identifier: asked.identifier, precondition: asked.precondition, idempotency };
        self.change(&caller, parts, change).await.map_err(|failure| caller.status(failure))
    }

    async fn patch(&self, request: Request<wire::PatchRequest>) -> Result<Response<wire::Registered>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let idempotency = idempotency(caller.method.path, &asked.idempotency_key, &asked);
        let desk = &self.0;
        let change = draft::patch(asked.patch.unwrap_or_default(), desk.limits.json_depth)
            .and_then(|json| {
                DraftPatch::from_json_within(&json, Timestamp::now(), &desk.services.settings.draft_limits)
            })
            .map(Change::Patch)
            .map_err(|errors| ServiceError::Fields(errors).into());
        let parts = Parts { identifier: asked.identifier, precondition: asked.precondition, idempotency };
        self.change(&caller, parts, change).await.map_err(|failure| caller.status(failure))
    }

    async fn delete(&self, request: Request<wire::DeleteRequest>) -> Result<Response<wire::Registered>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let idempotency = idempotency(caller.method.path, &asked.idempotency_key, &asked);
        let parts = Parts { identifier: asked.identifier, precondition: asked.precondition, idempotency };
        self.change(&caller, parts, Ok(Change::Delete)).await.map_err(|failure| caller.status(failure))
    }

    async fn mint(&self, request: Request<wire::MintRequest>) -> Result<Response<wire::Registered>, Status> {
        let (caller, asked) = Caller::of(request)?;
        self.minted(&caller, asked).await.map_err(|failure| caller.status(failure))
    }

    async fn read_record(&self, request: Request<wire::ReadRecordRequest>) -> Result<Response<wire::Record>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let record = async {
            let asked = caller.permit(ReadRecord { identifier: asked.identifier })?;
            let record = self.0.services.record(&asked);
            let record = self.0.services.noted(record?).await;
            caller.laps.end(Step::Service);
            let record = record::record(&record?);
            caller.laps.end(Step::Encode);
            Ok(record)
        };
        record.await.map(Response::new).map_err(|failure| caller.status(failure))
    }

    async fn request_status(
        &self,
        request: Request<wire::RequestStatusRequest>,
    ) -> Result<Response<wire::Registered>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let status = || {
            if !is_key(&asked.idempotency_key) {
                return Err(ServiceError::UnknownRequest.into());
            }
            let asked = caller.permit(RequestStatus { key: asked.idempotency_key })?;
            let registered = self.0.services.request(&asked);
            caller.laps.end(Step::Service);
            Ok(answer(&caller, &registered?))
        };
        status().map_err(|failure: Failure| caller.status(failure))
    }
}

/// What every change has, whatever it changes.
struct Parts {
    identifier: String,
    precondition: Option<wire::Precondition>,
    idempotency: Result<Option<Idempotency>, Failure>,
}

impl Writing {
    fn draft(&self, message: Option<wire::Draft>) -> Result<Draft, Failure> {
        let limits = &self.0.services.settings.draft_limits;
        draft::draft(message.unwrap_or_default(), self.0.limits.json_depth)
            .and_then(|json| Draft::from_json_within(&json, Timestamp::now(), limits))
            .map_err(|errors| ServiceError::Fields(errors).into())
    }

    async fn change(
        &self,
        caller: &Caller,
        parts: Parts,
        change: Result<Change, Failure>,
    ) -> Result<Response<wire::Registered>, Failure> {
        self.0.services.may_sign()?;
        let precondition = precondition(parts.precondition.as_ref());
        let creates_only = precondition == Precondition::CreateOnly;
        let idempotency = parts.idempotency?;
        let request = Register { identifier: parts.identifier, change: change?, precondition, idempotency };
        let asked = caller.permit(request)?;
        let registered = self.0.services.register(asked).await;
        caller.laps.end(Step::Service);
        let registered = registered.map_err(|error| match error {
            ServiceError::VersionMismatch { current: Some(_) } if creates_only => {
                Problem::new(Code::AlreadyExists).with_text(error.text()).into()
            }
            other => Failure::from(other),
        })?;
        Ok(answer(caller, &registered))
    }

    async fn minted(&self, caller: &Caller, asked: wire::MintRequest) -> Result<Response<wire::Registered>, Failure> {
        self.0.services.may_sign()?;
        let idempotency = idempotency(caller.method.path, &asked.idempotency_key, &asked)?;
        if asked.prefix.is_empty() {
            let detail =
                Text::new("缺少前缀：在哪个前缀下分配后缀", "a prefix is needed: under which a suffix is to be minted");
            let error = FieldError { pointer: "/prefix".to_owned(), code: "required", detail };
            return Err(ServiceError::Fields(vec![error]).into());
        }
        let request = Mint { prefix: asked.prefix, draft: self.draft(asked.draft)?, idempotency };
        let asked = caller.permit(request)?;
        let registered = self.0.services.mint(asked).await;
        caller.laps.end(Step::Service);
        Ok(answer(caller, &registered?))
    }
}

fn answer(caller: &Caller, registered: &Registered) -> Response<wire::Registered> {
    let answer = record::registered(registered);
    caller.laps.end(Step::Encode);
    Response::new(answer)
}

/// A choice that is made and then denied says nothing.
fn precondition(message: Option<&wire::Precondition>) -> Precondition {
    use wire::precondition::Assumes;
    match message.and_then(|message| message.assumes) {
        Some(Assumes::Absent(true)) => Precondition::CreateOnly,
        Some(Assumes::Any(true)) => Precondition::Any,
        Some(Assumes::Version(version)) => Precondition::Versions(vec![version]),
        None | Some(Assumes::Absent(false) | Assumes::Any(false)) => Precondition::None,
    }
}

/// The key with what it stands for: a SHA-256 over the call and its message as this node encodes it, each with its length.
/// Over HTTP the same key stands for other bytes, so a change that is repeated goes the way that it went first.
fn idempotency(path: &str, key: &str, message: &impl Message) -> Result<Option<Idempotency>, Failure> {
    let Some(key) = idempotency_key(key)? else {
        return Ok(None);
    };
    let mut context = Context::new(&SHA256);
    for part in [path.as_bytes(), &message.encode_to_vec()] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut request = [0; 32];
    request.copy_from_slice(context.finish().as_ref());
    Ok(Some(Idempotency { key, request }))
}

/// Empty: none.
pub(super) fn idempotency_key(key: &str) -> Result<Option<String>, Failure> {
    if key.is_empty() || is_key(key) {
        return Ok(Some(key.to_owned()).filter(|key| !key.is_empty()));
    }
    let detail = Text::new("应为 1 至 255 个可见 ASCII 字符", "must be 1 to 255 visible ASCII characters");
    let error = FieldError { pointer: "/idempotency_key".to_owned(), code: "bad_text", detail };
    Err(ServiceError::Fields(vec![error]).into())
}
