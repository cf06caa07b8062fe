//! The certificate that new connections are shown. It is replaced whole: a connection meets the old pair or the new one,
//! and keeps what it met until it ends.

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock};
use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;

use super::pair::{Contents, Pair, PairError, PairFiles};
use crate::model::time::Timestamp;

/// ALPN names (RFC 7301; RFC 9113, section 3.2): HTTP/2 where the client knows it.
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// With fewer days left than these, a certificate is warned of.
pub const WARN_DAYS: i64 = 14;
const SECONDS_A_DAY: i64 = 24 * 3600;

/// A pair of files and what was last found good in them.
pub struct Certificates {
    files: PairFiles,
    /// A lock, held only to clone: taken once a connection, never a request.
    current: RwLock<Arc<InUse>>,
    /// One look at a time, so that an older content cannot replace a newer one.
    looking: Mutex<()>,
}

struct InUse {
    /// Sessions and their tickets belong to it: after a replacement no client resumes on the old certificate.
    serving: Arc<ServerConfig>,
    /// For those who are turned away: HTTP/1.1 only, so that the answer is ready before they ask.
    parting: Arc<ServerConfig>,
    expires: Timestamp,
    digest: [u8; 32],
}

/// The files only: nothing of the key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

/// What a look at the files found.
#[derive(Debug)]
pub enum Looked {
    Unchanged,
    /// New connections are shown the new pair.
    Replaced,
    /// What lies there cannot be used; the old pair stays.
    Kept(PairError),
}

/// A pair that is good; no other look is made while it is held.
pub struct Judged<'c> {
    certificates: &'c Certificates,
    /// `None`: it is the one in use.
    good: Option<InUse>,
    _alone: MutexGuard<'c, ()>,
}

impl Judged<'_> {
    /// Shows it to new connections; whether it is another than before.
    pub fn take(self) -> bool {
        match self.good {
            Some(good) => {
                *self.certificates.current.write() = Arc::new(good);
                true
            }
            None => false,
        }
    }
}

impl Certificates {
    /// Reads and judges the files.
    pub fn open(files: PairFiles) -> Result<Self, PairError> {
        let contents = files.read()?;
        let current = RwLock::new(Arc::new(InUse::of(&files, &contents)?));
        Ok(Self { files, current, looking: Mutex::new(()) })
    }

    /// Reads the files again and takes them into use if they changed and are good.
    pub fn look(&self) -> Looked {
        match self.judge() {
            Ok(judged) => {
                if judged.take() {
                    Looked::Replaced
                } else {
                    Looked::Unchanged
                }
            }
            Err(error) => Looked::Kept(error),
        }
    }

    /// Reads the files again and judges them, and takes nothing yet: for whoever has more to judge first.
    pub fn judge(&self) -> Result<Judged<'_>, PairError> {
        let alone = self.looking.lock();
        let contents = self.files.read()?;
        let is_new = contents.digest() != self.current.read().digest;
        let good = is_new.then(|| InUse::of(&self.files, &contents)).transpose()?;
        Ok(Judged { certificates: self, good, _alone: alone })
    }

    /// When the certificate in use ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.current.read().expires
    }

    /// The whole days until then, when they are fewer than [`WARN_DAYS`]; negative after the end.
    #[must_use]
    pub fn ends_soon(&self) -> Option<i64> {
        let seconds = self.expires().as_seconds().saturating_sub(Timestamp::now().as_seconds());
        (seconds < WARN_DAYS * SECONDS_A_DAY).then(|| seconds.div_euclid(SECONDS_A_DAY))
    }

    #[must_use]
    pub fn files(&self) -> &PairFiles {
        &self.files
    }

    pub(in super::super) fn serving(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().serving)
    }

    pub(in super::super) fn parting(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().parting)
    }
}

impl InUse {
    fn of(files: &PairFiles, contents: &Contents) -> Result<Self, PairError> {
        let Pair { key, expires } = files.judge(contents, Timestamp::now())?;
        let mut serving = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| files.key_unusable(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        serving.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        let mut parting = serving.clone();
        parting.alpn_protocols = vec![HTTP_1.to_vec()];
        Ok(Self { serving: Arc::new(serving), parting: Arc::new(parting), expires, digest: contents.digest() })
    }
}
