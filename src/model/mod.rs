//! The nouns of the registry, always valid once built: parse, don't validate.
//!
//! Free to every stage; knows no socket, no store and no key. Everything here is pure and bounded, and panics on nothing
//! that an outside text could hold.

// Words that the nouns are written with.
pub mod field;
pub mod text;
pub mod time;

// What names a thing.
pub mod identifier;
pub mod scheme;

// What is said of it.
pub mod alias;
pub mod column;
pub mod difference;
pub mod erasure;
pub mod link;
pub mod record;
pub mod value;

// Who stands behind a prefix.
pub mod codes;
pub mod filing;
pub mod uscc;

// What a caller may ask to be said, and who may.
pub mod action;
pub mod draft;
pub mod filter;
pub mod grant;
pub mod permitted;
pub mod prefix;
pub mod principal;
