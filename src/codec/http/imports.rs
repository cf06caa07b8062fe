//! `/v1/imports`: an upload of lines, or of a table, becomes a job.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};

use super::body::{self, BodyFault, Pieces};
use super::call::Call;
use super::failure::Failure;
use super::preconditions::idempotency_key;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, import_form, negotiation};
use crate::codec::answers;
use crate::codec::problem::{Code, Problem};
use crate::metrics::Stage;
use crate::model::permitted::Action;
use crate::services::import::{Begun, Form, JobView, OnConflict, ReadJob, StartImport, Upload};

const ROUTE: &str = "/v1/imports/";
const PARAMETERS: [&str; 7] = ["mapping", "on_conflict", "dry_run", "atomic", "encoding", "separator", "sheet"];
/// Compressed bytes that are taken at once: deflate makes at most about 1,032 out of one.
const SLICE_BYTES: usize = 1024;
/// Lines of JSON shrink to a tenth, at most to a fiftieth. What promises more is made to fill a disk.
const MOST_EXPANSION: u64 = 200;
/// Below this nothing is suspected.
const UNSUSPECTED_BYTES: u64 = 16 << 20;

pub(super) async fn start(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let query = Query::of(&call.uri, &PARAMETERS)?;
    let form = import_form::of_import(&call.headers, &query)?;
    let mut start = question(form, &query, desk.limits.json_depth)?;
    start.idempotency_key = idempotency_key(&call.headers)?;
    let mut expansion = Expansion::of(&call.headers)?;
    let asked = call.permit(&pass, start)?;
    let begun = desk.services.begin_import(asked).await?;
    call.laps.end(Stage::Service);
    let mut pieces = Pieces::of(call.body);
    let view = match begun {
        // The same upload once more: it is taken off the wire, and the job that it became is told.
        Begun::Known(mut repeat) => {
            while let Some(mut piece) = pieces.next().await.transpose()? {
                while !piece.is_empty() {
                    repeat.take(&expansion.take(&mut piece)?);
                }
            }
            repeat.take(&expansion.end()?);
            desk.services.repeated_import(*repeat)?
        }
        Begun::Upload(upload) => {
            let received = receive(pieces, expansion, *upload).await?;
            desk.services.start_import(received).await?
        }
    };
    call.laps.skip();
    let body = answers::job(&view, call.language);
    let mut response = reply::json(StatusCode::ACCEPTED, Keep::Never, body);
    reply::add_location(&mut response, format!("{ROUTE}{}", view.id));
    call.laps.end(Stage::Encode);
    Ok(response)
}

fn question(form: Form, query: &Query<'_>, depth: u64) -> Result<StartImport, Failure> {
    let mapping = match query.one("mapping")? {
        None => None,
        Some(text) => {
            let json = body::parse(text.as_bytes(), depth)?;
            let mapping = serde_json::from_value(json).map_err(|error| {
                let cause = error.to_string();
                Failure::query("mapping", &cause, &cause)
            })?;
            Some(mapping)
        }
    };
    if mapping.is_none() && form.is_table() {
        return Err(Failure::query(
            "mapping",
            "导入表格必须给出映射，说明各列的去向",
            "a table needs a mapping, which says what its columns become",
        ));
    }
    let on_conflict = match query.one("on_conflict")?.as_deref() {
        None | Some("error") => OnConflict::Error,
        Some("skip") => OnConflict::Skip,
        Some("update") => OnConflict::Update,
        Some(_) => {
            return Err(Failure::query("on_conflict", "应为 error、skip 或 update", "must be error, skip or update"));
        }
    };
    Ok(StartImport {
        form,
        mapping,
        on_conflict,
        dry_run: query.flag("dry_run")?,
        atomic: query.flag("atomic")?,
        idempotency_key: None,
    })
}

/// Takes the whole upload; one that does not come to its end leaves nothing behind.
async fn receive(mut pieces: Pieces, mut expansion: Expansion, upload: Upload) -> Result<Upload, Failure> {
    let mut upload = Abandoned(Some(upload));
    let taken = take(&mut pieces, &mut expansion, &mut upload).await;
    match (taken, upload.0.take()) {
        (Ok(()), Some(upload)) => Ok(upload),
        (Err(failure), Some(upload)) => {
            upload.abandon().await;
            Err(failure)
        }
        (taken, None) => Err(taken.err().unwrap_or_else(|| BodyFault::Broken.into())),
    }
}

async fn take(pieces: &mut Pieces, expansion: &mut Expansion, upload: &mut Abandoned) -> Result<(), Failure> {
    while let Some(piece) = pieces.next().await.transpose()? {
        let mut rest = piece;
        while !rest.is_empty() {
            let plain = expansion.take(&mut rest)?;
            upload.write(&plain).await?;
        }
    }
    let last = expansion.end()?;
    upload.write(&last).await
}

/// Removes what was spooled when the client goes away and this request is dropped in the middle.
pub(in crate::codec) struct Abandoned(pub Option<Upload>);

impl Abandoned {
    pub(in crate::codec) async fn write(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        match &mut self.0 {
            Some(upload) if !bytes.is_empty() => Ok(upload.write(bytes).await?),
            _ => Ok(()),
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(upload.abandon());
        }
    }
}

/// From the bytes of the body to the bytes of the upload.
pub(in crate::codec) enum Expansion {
    None,
    Gzip(Box<Gzip>),
}

pub(in crate::codec) struct Gzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    packed: u64,
    plain: u64,
}

impl Expansion {
    fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let encoding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes());
        match encoding {
            None => Ok(Self::None),
            Some(encoding) if encoding.eq_ignore_ascii_case(b"identity") => Ok(Self::None),
            Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => Ok(Self::gzip()),
            Some(_) => Err(body::unknown_encoding("只接受 gzip", "gzip is the only one")),
        }
    }

    pub(in crate::codec) fn gzip() -> Self {
        Self::Gzip(Box::new(Gzip { decoder: MultiGzDecoder::new(Vec::new()), packed: 0, plain: 0 }))
    }

    /// Takes some of the bytes and gives what they stand for.
    pub(in crate::codec) fn take(&mut self, bytes: &mut Bytes) -> Result<Bytes, Failure> {
        match self {
            Self::None => Ok(std::mem::take(bytes)),
            Self::Gzip(gzip) => {
                let slice = bytes.split_to(SLICE_BYTES.min(bytes.len()));
                gzip.packed += slice.len() as u64;
                gzip.decoder.write_all(&slice).map_err(|_| broken_gzip())?;
                gzip.out()
            }
        }
    }

    pub(in crate::codec) fn end(&mut self) -> Result<Bytes, Failure> {
        match self {
            Self::None => Ok(Bytes::new()),
            Self::Gzip(gzip) => {
                gzip.decoder.try_finish().map_err(|_| broken_gzip())?;
                gzip.out()
            }
        }
    }
}

impl Gzip {
    fn out(&mut self) -> Result<Bytes, Failure> {
        let plain = std::mem::take(self.decoder.get_mut());
        self.plain += plain.len() as u64;
        if self.plain > UNSUSPECTED_BYTES && self.plain / MOST_EXPANSION > self.packed {
            return Err(Problem::new(Code::BodyTooLarge)
                .with_detail(
                    format!("gzip 展开超过 {MOST_EXPANSION} 倍"),
                    format!("the gzip expands more than {MOST_EXPANSION} times"),
                )
                .into());
        }
        Ok(plain.into())
    }
}

fn broken_gzip() -> Failure {
    Problem::new(Code::BodyBroken).with_detail("gzip 数据损坏或不完整", "the gzip data is damaged or incomplete").into()
}

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let id = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadJob { id })?;
    let view: Result<JobView, _> = desk.services.import(&asked);
    call.laps.end(Stage::Service);
    let body = answers::job(&view?, call.language);
    let response = reply::json(StatusCode::OK, Keep::Never, body);
    call.laps.end(Stage::Encode);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    fn expanded(mut packed: Bytes) -> Result<Vec<u8>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let mut expansion = Expansion::of(&headers)?;
        let mut plain = Vec::new();
        while !packed.is_empty() {
            plain.extend(expansion.take(&mut packed)?);
        }
        plain.extend(expansion.end()?);
        Ok(plain)
    }

    #[test]
    fn gzip_is_expanded_in_slices_and_a_cut_one_is_refused() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let packed = gzip(&plain);
        assert_eq!(expanded(packed.clone()).ok(), Some(plain));
        let cut = packed.slice(..packed.len() - 4);
        assert!(expanded(cut).is_err());
        assert!(expanded(Bytes::from_static(b"no gzip")).is_err());
        let two: Vec<u8> = [gzip(b"a\n"), gzip(b"b\n")].concat();
        assert_eq!(expanded(two.into()).ok(), Some(b"a\nb\n".to_vec()));
    }

    #[test]
    fn a_bomb_is_refused_soon_after_it_is_seen_to_be_one() {
        let Err(failure) = expanded(gzip(&vec![b' '; 64 << 20])) else { panic!("it went through") };
        assert_eq!(failure.into_problem("r").code, Code::BodyTooLarge);
    }
}
