//! Stage 5: keys, entries (SD-JWT), verification.
