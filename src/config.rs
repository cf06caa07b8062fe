//! From file, environment and flags (the Spec) to one immutable Config.
