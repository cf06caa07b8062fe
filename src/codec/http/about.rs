//! What the node says of itself: whether it lives, whether it is ready, what it counts, which keys sign, where things are.

use std::fmt::Write as _;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use http::StatusCode;

use super::call::Call;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::routes::ROUTES;
use super::{Desk, Readiness, negotiation};
use crate::codec::answers;
use crate::codec::problem::Code;
use crate::metrics::MEDIA_TYPE;
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::mirror::Mirror;

const HTML: &str = "text/html";
/// RFC 7517, section 8.5.2.
const JWK_SET: &str = "application/jwk-set+json";
/// A new key must be found soon after it signs.
const JWKS_SECONDS: u32 = 60;

/// Depends on nothing: an answer is enough.
pub(super) async fn livez(_desk: Arc<Desk>, _call: Call) -> Reply {
    let body = b"{\"status\":\"ok\"}".to_vec();
    Ok(reply::json(StatusCode::OK, Keep::Never, body))
}

/// Whether requests should be sent here.
pub(super) async fn readyz(desk: Arc<Desk>, _call: Call) -> Reply {
    match (desk.readiness)() {
        Readiness::Starting => Err(Code::NotReady.into()),
        Readiness::Stopping => Err(Code::Draining.into()),
        Readiness::Ready if desk.services.store.is_poisoned() => Err(Code::StoragePoisoned.into()),
        Readiness::Ready => {
            // Part of the past cannot be read; everything else can, and another node would not do better.
            let mut body = String::from("{\"status\":\"ready\"");
            if desk.services.store.cold().is_some_and(|cold| cold.is_away) {
                body.push_str(",\"cold\":\"away\"");
            }
            // What it had verified is right for ever, though no longer the newest.
            if let Some(code) = desk.services.mirror().and_then(Mirror::stopped) {
                body.push_str(&format!(",\"mirror\":\"{code}\""));
            }
            body.push('}');
            Ok(reply::json(StatusCode::OK, Keep::Never, body.into_bytes()))
        }
    }
}

pub(super) async fn metrics(desk: Arc<Desk>, _call: Call) -> Reply {
    gauge(&desk);
    let body = Body::from(desk.metrics.render());
    Ok(reply::of_type(MEDIA_TYPE, StatusCode::OK, Keep::Never, body))
}

/// Reads the sizes that their owners keep anyway.
fn gauge(desk: &Desk) {
    let (services, metrics) = (&desk.services, &desk.metrics);
    metrics.cache.bytes.set(services.cache.bytes());
    metrics.cache.entries.set(services.cache.len() as u64);
    metrics.journal.queue_entries.set(services.store.queue_entries() as u64);
    metrics.journal.poisoned.set(u64::from(services.store.is_poisoned()));
    let places = services.store.places();
    metrics.journal.set_place("hot", places.hot_segments, places.hot_bytes);
    metrics.journal.set_place("cold", places.cold_segments, places.cold_bytes);
    let cold = services.store.cold().unwrap_or_default();
    metrics.journal.cold_away.set(u64::from(cold.is_away));
    metrics.journal.cold_moves_failed.inner().store(cold.failures, Ordering::Relaxed);
    metrics.records.disk_bytes.set(services.store.engine_bytes());
    let snapshot = services.store.snapshot().unwrap_or_default();
    metrics.records.snapshot_timestamp_seconds.set(snapshot.time.unsigned_abs());
    metrics.records.snapshot_rows.set(snapshot.rows);
    metrics.records.snapshot_disk_bytes.set(snapshot.bytes);
    metrics.import.running.set(services.imports.running() as u64);
    // What cannot be asked keeps what it was.
    if let Some(free_bytes) = services.store.free_bytes() {
        metrics.node.disk_free_bytes.set(free_bytes);
    }
}

/// The public halves of the keys that sign entries, each with the registry indexes that it may sign.
pub(super) async fn jwks(desk: Arc<Desk>, call: Call) -> Reply {
    call.admit(&desk, Action::Read)?;
    Query::of(&call.uri, &[])?;
    let media_type = negotiation::best(&call.headers, &[JSON, JWK_SET])?;
    let authorities = desk.services.authorities();
    call.laps.end(Step::Service);
    let body = answers::jwks(&authorities?);
    Ok(reply::of_type(media_type, StatusCode::OK, Keep::Public(JWKS_SECONDS), Body::from(body)))
}

/// The addresses, for a person who opens the node in a browser or with curl.
///
/// Not an `async fn`, whose type would depend on the table that names it.
pub(super) fn index(_desk: Arc<Desk>, call: Call) -> Ready<Reply> {
    ready(addresses(&call))
}

fn addresses(call: &Call) -> Reply {
    Query::of(&call.uri, &[])?;
    let addresses: Vec<(String, String)> = ROUTES
        .iter()
        .filter(|route| !route.path.ends_with('/'))
        .map(|route| {
            let verbs: Vec<&str> = route.verbs.iter().map(|(verb, _)| *verb).collect();
            (route.path.replace("{*", "{"), verbs.join(" "))
        })
        .collect();
    if negotiation::best(&call.headers, &[JSON, HTML])? == HTML {
        let body = Body::from(page(&addresses));
        let media_type = "text/html; charset=utf-8";
        return Ok(reply::of_type(media_type, StatusCode::OK, Keep::Ask, body));
    }
    let listed: serde_json::Map<String, serde_json::Value> =
        addresses.into_iter().map(|(path, verbs)| (path, verbs.into())).collect();
    let body = serde_json::json!({
        "name": "mingpai",
        "version": env!("CARGO_PKG_VERSION"),
        "addresses": listed,
    });
    Ok(reply::json(StatusCode::OK, Keep::Ask, body.to_string().into_bytes()))
}

fn page(addresses: &[(String, String)]) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"zh-CN\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>铭牌 Mingpai</title>\
         <h1>铭牌 <span lang=\"en\">Mingpai</span></h1>\
         <p>工业互联网标识解析二级节点。接口地址如下。</p>\
         <p lang=\"en\">A secondary node of the industrial-internet identifier resolution system. Its addresses:</p><ul>",
    );
    for (path, verbs) in addresses {
        // Writing to a String cannot fail.
        let _ = if path.contains('{') {
            write!(page, "<li>{verbs} <code>{path}</code>")
        } else {
            write!(page, "<li>{verbs} <a href=\"{path}\"><code>{path}</code></a>")
        };
    }
    page.push_str("</ul></html>");
    page
}
