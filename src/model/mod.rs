//! The nouns, always valid once built.
