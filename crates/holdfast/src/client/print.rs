//! Standard output: a line at a time, for people or as JSON.
//!
//! A reader that goes away (`holdfast ls | head`) ends the command quietly: nobody is left to read more.

use std::io::{BufWriter, ErrorKind, Stdout, Write};

use serde_json::Value;

use crate::failure::{Failure, local};

/// Where a verb prints.
pub struct Printer {
    out: BufWriter<Stdout>,
    json: bool,
}

impl Printer {
    /// For people, or as JSON.
    pub fn new(json: bool) -> Self {
        Self {
            out: BufWriter::new(std::io::stdout()),
            json,
        }
    }

    /// Whether the output is JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One thing: its text for people, its value for programs.
    pub fn line(&mut self, text: impl std::fmt::Display, value: impl FnOnce() -> Value) -> Result<(), Failure> {
        let done = if self.json {
            writeln!(self.out, "{}", value())
        } else {
            writeln!(self.out, "{text}")
        };
        settle(done)
    }

    /// Writes out what is buffered: what was said comes before what is done next.
    pub fn flush(&mut self) -> Result<(), Failure> {
        settle(self.out.flush())
    }

    /// Writes out what is buffered, at the end.
    pub fn finish(mut self) -> Result<(), Failure> {
        settle(self.out.flush())
    }
}

fn settle(done: std::io::Result<()>) -> Result<(), Failure> {
    match done {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(local("standard output could not be written", &error)),
    }
}

/// A table for people: aligned columns, no lines, so that it can be cut with the usual tools.
pub struct Rows(comfy_table::Table);

impl Rows {
    /// One row.
    pub fn add(&mut self, cells: impl Into<comfy_table::Row>) {
        self.0.add_row(cells);
    }
}

impl std::fmt::Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The table pads both ends of every line.
        let lines: Vec<String> = self.0.lines().map(|line| line.trim().to_owned()).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// A table with these columns.
pub fn table(head: &[&str]) -> Rows {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(head.iter().map(|name| name.to_uppercase()));
    Rows(table)
}
