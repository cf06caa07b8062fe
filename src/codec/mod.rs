//! Stage 2: bytes to requests and answers to bytes.
