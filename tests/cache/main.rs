//! The answer cache: against a plain map, and read beside writes with every read checked.

mod model;
mod stress;
