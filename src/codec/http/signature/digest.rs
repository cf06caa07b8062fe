//! The digest of a body (RFC 9530): what a signature covers of it, compared with the bytes that come.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName};
use ring::digest::{Algorithm, Context, SHA256, SHA512};
use sfv::ListEntry;

use super::{dictionary, text};
use crate::codec::http::body::BodyFault;
use crate::model::text::Text;

pub(in crate::codec::http) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Those of RFC 9530, section 5, that are good enough. Others may stand beside them and are not looked at.
const ALGORITHMS: [(&str, &Algorithm); 2] = [("sha-256", &SHA256), ("sha-512", &SHA512)];

/// What the content of a body must come to, by one algorithm or by both.
pub(in crate::codec::http) struct Digests(Vec<(Context, Vec<u8>)>);

impl Digests {
    /// As the header says.
    pub(super) fn of(headers: &HeaderMap) -> Result<Digests, Text> {
        let (_, members) = dictionary(headers, &CONTENT_DIGEST, "Content-Digest")?;
        let mut digests = Vec::new();
        for (name, algorithm) in ALGORITHMS {
            let Some(member) = members.get(name) else { continue };
            let bytes = match member {
                ListEntry::Item(item) => item.bare_item.as_byte_sequence(),
                ListEntry::InnerList(_) => None,
            };
            let bytes = bytes.filter(|bytes| bytes.len() == algorithm.output_len()).ok_or_else(|| {
                text(
                    format!("Content-Digest 的 {name} 不是这样长的字节序列"),
                    format!("{name} of Content-Digest is no sequence of as many bytes"),
                )
            })?;
            digests.push((Context::new(algorithm), bytes.to_vec()));
        }
        if digests.is_empty() {
            return Err(text("Content-Digest 应有 sha-256 或 sha-512", "Content-Digest must have sha-256 or sha-512"));
        }
        Ok(Digests(digests))
    }

    fn take(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|(context, _)| context.update(bytes));
    }

    fn are_right(self) -> bool {
        self.0.into_iter().all(|(context, said)| context.finish().as_ref() == said)
    }
}

/// The body, as it is sent, its content codings included; it ends with [`BodyFault::Altered`] where it is another one.
pub(in crate::codec::http) fn checked(body: Body, digests: Digests) -> Body {
    let pieces = body.into_data_stream();
    Body::from_stream(stream::unfold(Some((pieces, digests)), |state| async {
        let (mut pieces, mut digests) = state?;
        match pieces.next().await {
            Some(Ok(piece)) => {
                digests.take(&piece);
                Some((Ok(piece), Some((pieces, digests))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None if digests.are_right() => None,
            None => Some((Err::<Bytes, _>(axum::Error::new(BodyFault::Altered)), None)),
        }
    }))
}
