//! Chord by itself: many nodes that know only parts of a ring, without the rest of Holdfast.
//!
//! `ring.rs` lets nodes join, die, ask each other and wait, with messages that take their time; `invariant.rs` is Zave's inductive
//! invariant, asked after every event; `figures.rs` measures what the papers measured, to be held against their tables.

pub mod figures;
pub mod invariant;
pub mod ring;
