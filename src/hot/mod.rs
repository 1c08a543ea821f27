//! Unsealed columns: append-only chunks in memory.
//!
//! Guarantees: a [`ChunkBuilder`] takes commits in order and only grows at its end; a [`Chunk`] takes no more, so that
//! snapshots share it without a copy. Rows stay flat columns (no allocation per reading or per device) until somebody
//! asks for a device; then the chunk is sorted once, column by column, with later commits over earlier ones.

mod builder;
mod chunk;
mod flat;
mod sorted;

pub use builder::ChunkBuilder;
pub use chunk::Chunk;

#[cfg(test)]
mod tests;
