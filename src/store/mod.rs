//! Stage 6: the journal, the sequencer, the record store and the cache.
