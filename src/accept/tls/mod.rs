//! TLS on the addresses of `tls.listen`: the certificate with its key, kept fresh, and the handshake of one connection.
//!
//! ```text
//! pair          two files, read and judged
//! certificates  the pair in use, replaced whole
//! refresh       looks for new files, warns
//! handshake     one client, until TLS stands
//! ```
//!
//! Above the handshake nothing knows of TLS: the same connection code runs over either stream.

mod certificates;
mod handshake;
mod pair;
mod refresh;

pub use certificates::{Certificates, Judged, Looked, WARN_DAYS};
pub(super) use handshake::{Shaken, shake};
pub use pair::{PairError, PairFiles};
pub use refresh::{Refresh, Reread};
