//! Mingpai (铭牌): a secondary node of the industrial-internet identifier resolution system.
#![deny(unsafe_code)]

pub mod accept;
pub mod cli;
pub mod codec;
pub mod config;
pub mod guard;
pub mod metrics;
pub mod model;
pub mod node;
pub mod services;
pub mod sign;
pub mod store;
