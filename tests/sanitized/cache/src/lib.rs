//! The cache alone, from its own files, so that a sanitizer sees it without building a node: `./run`.

pub mod store;
