//! The coding of an upload's body: as it is, or gzip, which is expanded in bounded slices and not beyond all measure.

use std::io::Write;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::body;
use super::failure::Failure;
use crate::codec::problem::{Code, Problem};

/// Compressed bytes that are taken at once: deflate makes at most about 1,032 out of one.
const SLICE_BYTES: usize = 1024;
/// Lines of JSON shrink to a tenth, at most to a fiftieth. What promises more is made to fill a disk.
const MOST_EXPANSION: u64 = 200;
/// Below this nothing is suspected.
const UNSUSPECTED_BYTES: u64 = 16 << 20;

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
    pub(in crate::codec) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
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
