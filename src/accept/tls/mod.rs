//! TLS on the addresses of `tls.listen`: the certificate with its key, kept fresh, and the handshake of one connection.
//!
//! ```text
//! pair          two files, read and judged
//! certificates  the pair in use, replaced whole
//! names         what clients may call the node by
//! refresh       looks for new files, warns
//! handshake     one client, until TLS stands
//! ```
//!
//! Above the handshake nothing knows of TLS: the same connection code runs over either stream.

mod certificates;
mod handshake;
mod names;
mod pair;
mod refresh;

pub use certificates::{Certificates, Judged, Looked, WARN_DAYS};
pub(super) use handshake::{Shaken, shake};
pub use names::Names;
pub use pair::{FileFault, PairError, PairFiles};
pub use refresh::{Refresh, Reread};
