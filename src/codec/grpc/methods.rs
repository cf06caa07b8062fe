//! Which calls there are: one table, from which a call's service, permission, size and bounds are read.

use crate::config::LimitsSpec;
use crate::model::permitted::Action;

/// One call.
#[derive(Debug)]
pub(super) struct Method {
    pub path: &'static str,
    pub service: Service,
    /// Asked of the guard before a byte of the request is read; `None`: of the node itself, which everybody may ask.
    pub action: Option<Action>,
    pub size: Size,
    pub asks: Flow,
    pub answers: Flow,
    /// The field of the request that the members of a record stand in.
    pub content: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Resolver,
    Registrar,
    Importer,
    Health,
    Reflection,
}

/// One message, or as many as come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    One,
    Stream,
}

/// The most bytes of one message: what HTTP takes in a target, or in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Target,
    Body,
}

/// Around a message: a flag and its length.
const FRAME_BYTES: u64 = 5;

impl Method {
    /// The most bytes of one message.
    pub fn message_bytes(&self, limits: &LimitsSpec) -> usize {
        let bytes = match self.size {
            Size::Target => limits.uri_bytes,
            Size::Body => limits.body_bytes,
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// The most bytes of all messages of one call.
    pub fn body_bytes(&self, limits: &LimitsSpec) -> u64 {
        match self.asks {
            Flow::One => self.message_bytes(limits) as u64 + FRAME_BYTES,
            Flow::Stream => limits.import_bytes,
        }
    }

    /// Whether a few bytes are progress: a conversation, in which a question is short and waits for its answer.
    pub fn is_conversation(&self) -> bool {
        self.asks == Flow::Stream && self.answers == Flow::Stream
    }
}

macro_rules! methods {
    ($($path:literal $service:ident $asks:ident -> $answers:ident $size:ident $action:expr, $content:literal;)+) => {
        &[$(Method {
            path: $path,
            service: Service::$service,
            action: $action,
            size: Size::$size,
            asks: Flow::$asks,
            answers: Flow::$answers,
            content: $content,
        }),+]
    };
}

const READ: Option<Action> = Some(Action::Read);
const REGISTER: Option<Action> = Some(Action::Register);

pub(super) const METHODS: &[Method] = methods! {
    "/mingpai.v1.Resolver/Resolve" Resolver One -> One Target READ, "";
    "/mingpai.v1.Resolver/ResolveBatch" Resolver One -> Stream Body READ, "";
    "/mingpai.v1.Resolver/ResolveStream" Resolver Stream -> Stream Target READ, "";
    "/mingpai.v1.Resolver/History" Resolver One -> One Target READ, "";
    "/mingpai.v1.Resolver/Compare" Resolver One -> One Target READ, "";
    "/mingpai.v1.Registrar/Register" Registrar One -> One Body REGISTER, "draft";
    "/mingpai.v1.Registrar/Patch" Registrar One -> One Body REGISTER, "patch";
    "/mingpai.v1.Registrar/Delete" Registrar One -> One Target REGISTER, "";
    "/mingpai.v1.Registrar/Mint" Registrar One -> One Body REGISTER, "draft";
    "/mingpai.v1.Registrar/ReadRecord" Registrar One -> One Target READ, "";
    "/mingpai.v1.Registrar/RequestStatus" Registrar One -> One Target REGISTER, "";
    "/mingpai.v1.Importer/Import" Importer Stream -> One Body REGISTER, "start";
    "/mingpai.v1.Importer/ReadImport" Importer One -> One Target REGISTER, "";
    "/mingpai.v1.Importer/WatchImport" Importer One -> Stream Target REGISTER, "";
    "/mingpai.v1.Importer/ImportErrors" Importer One -> Stream Target REGISTER, "";
    "/grpc.health.v1.Health/Check" Health One -> One Target None, "";
    "/grpc.health.v1.Health/Watch" Health One -> Stream Target None, "";
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" Reflection Stream -> Stream Target None, "";
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" Reflection Stream -> Stream Target None, "";
};

pub(super) fn named(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.path == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::codec::grpc::wire::DESCRIPTORS;

    #[test]
    fn the_table_has_every_call_of_proto_with_its_flows() {
        let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
        let mut described = BTreeSet::new();
        for file in &files {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let flow = |streams| if streams { Flow::Stream } else { Flow::One };
                    let known = named(&path).unwrap_or_else(|| panic!("{path} is not in the table"));
                    assert_eq!(known.asks, flow(method.client_streaming()), "{path}");
                    assert_eq!(known.answers, flow(method.server_streaming()), "{path}");
                    described.insert(path);
                }
            }
        }
        let listed = METHODS.iter().filter(|method| method.service != Service::Reflection);
        assert_eq!(listed.count(), described.len(), "the table has calls that proto/ does not describe");
    }

    #[test]
    fn only_reading_and_the_node_itself_are_open() {
        for method in METHODS {
            let is_open = matches!(method.action, None | Some(Action::Read));
            let reads = ["Resolver/", "/ReadRecord", "Health/", "ServerReflection/"];
            assert_eq!(is_open, reads.iter().any(|part| method.path.contains(part)), "{}", method.path);
        }
    }
}
