//! A traced request as spans of OTLP: one for the request, one for each lap. What is here is all that a collector ever learns.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::laps::{Lap, Step};
use super::trace_context::SpanId;
use super::traces::Traced;
use crate::config::Config;
use crate::metrics::Transport;

/// Flags of a span in OTLP: sampled; whether it is known that the parent is elsewhere, and that it is.
const SAMPLED: u32 = 0x1;
const PARENT_IS_REMOTE: u32 = 0x100 | 0x200;

/// Who sends.
pub(super) fn resource(config: &Config) -> Resource {
    let attributes = vec![
        text("service.name", "mingpai"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", &config.node.name),
    ];
    Resource { attributes, ..Resource::default() }
}

/// All spans of a batch.
pub(super) fn message(resource: &Resource, batch: &[Traced]) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "mingpai".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = batch.iter().flat_map(spans_of).collect();
    let scope_spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let resource_spans =
        ResourceSpans { resource: Some(resource.clone()), scope_spans: vec![scope_spans], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

fn spans_of(traced: &Traced) -> Vec<Span> {
    let began = traced.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let began = u64::try_from(began.as_nanos()).unwrap_or(u64::MAX);
    let mut spans = vec![whole(traced, began)];
    // What is within the service hangs below its span.
    let is_service = |lap: &Lap| lap.step == Step::Service;
    let services: Vec<(Lap, SpanId)> =
        traced.laps.iter().copied().filter(is_service).map(|lap| (lap, SpanId::fresh())).collect();
    for lap in &traced.laps {
        let around = services.iter().find(|(service, _)| service.from <= lap.from && lap.to <= service.to);
        let around = around.map(|(_, id)| *id);
        let (id, parent) = match around {
            Some(id) if is_service(lap) => (id, traced.ids.span),
            Some(id) if lap.step.is_within_service() => (SpanId::fresh(), id),
            _ => (SpanId::fresh(), traced.ids.span),
        };
        spans.push(Span {
            trace_id: traced.ids.trace.0.to_vec(),
            span_id: id.0.to_vec(),
            parent_span_id: parent.0.to_vec(),
            flags: SAMPLED,
            name: lap.step.word().to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: began.saturating_add(lap.from),
            end_time_unix_nano: began.saturating_add(lap.to),
            ..Span::default()
        });
    }
    spans
}

/// The request's own span; names of attributes by the semantic conventions of OpenTelemetry (HTTP server spans).
fn whole(traced: &Traced, began: u64) -> Span {
    let route = traced.route.map(|route| route.replace("{*", "{"));
    let mut attributes = vec![
        text("http.request.method", traced.method),
        text("network.protocol.version", if traced.transport == Transport::Http2 { "2" } else { "1.1" }),
        number("http.response.status_code", i64::from(traced.status)),
        text("mingpai.request_id", &traced.request_id),
    ];
    attributes.extend(route.as_deref().map(|route| text("http.route", route)));
    let remote = if traced.ids.parent.is_some() { PARENT_IS_REMOTE } else { 0 };
    let code = if traced.status >= 500 { StatusCode::Error } else { StatusCode::Unset };
    Span {
        trace_id: traced.ids.trace.0.to_vec(),
        span_id: traced.ids.span.0.to_vec(),
        parent_span_id: traced.ids.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: SAMPLED | remote,
        name: route.map_or_else(|| traced.method.to_owned(), |route| format!("{} {route}", traced.method)),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: began,
        end_time_unix_nano: began.saturating_add(traced.took_nanoseconds),
        attributes,
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
