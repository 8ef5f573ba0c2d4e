//! The formats of Holdfast, held still: golden files, round trips, and bytes that nobody ever wrote.

mod allocations;
mod arbitrary;
mod arbitrary_messages;
mod figures;
mod forms;
mod golden;
mod hostile;
mod limits;
mod round_trip;
mod samples;
