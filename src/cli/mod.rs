//! The subcommands of `mingpai`.
