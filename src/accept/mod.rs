//! Stage 1: bytes in, bytes out: listeners, limits, drain. Knows sockets, nothing of identifiers.
