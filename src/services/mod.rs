//! Stage 4: one file per verb.
