//! Stage 3: who asks, and may he: only a `Permitted` request reaches a service.
