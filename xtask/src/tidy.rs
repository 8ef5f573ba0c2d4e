//! The house rules that neither the compiler nor clippy checks.
//!
//! Each rule is a function from the tree of files (or from what a cargo command printed) to findings, so that its
//! tests can plant a violation in a string. A finding names the file, the line and the remedy.
//!
//! Weak where it must be: the rules read Rust as tokens (comments and strings blanked out, see `source.rs`), not as
//! a syntax tree. A macro could hide anything from them; reviewers still read.

mod docs;
mod features;
mod imports;
mod lengths;
mod licences;
mod manifests;
mod modules;
mod names;
mod source;
mod tree;
mod words;

use crate::process;
use crate::step::{Failure, Outcome};
use std::fmt;
use tree::Tree;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    /// Counted from 1; 0 when the whole file is meant.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.what),
            line => write!(out, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Every rule that needs nothing but the files.
const FILE_RULES: &[fn(&Tree) -> Vec<Finding>] = &[
    names::forbidden_file_names,
    names::missing_file_docs,
    imports::globs_of_own_modules,
    imports::nondeterministic_maps_in_core,
    imports::std_in_core,
    imports::placeholders,
    imports::unsafe_without_a_reason,
    lengths::long_files,
    lengths::long_functions,
    modules::dead_files,
    manifests::dependencies_without_a_reason,
    manifests::dependencies_outside_the_workspace_table,
    manifests::forbidden_imports_between_crates,
    docs::dead_paths,
    docs::unknown_rules,
    words::forbidden_words,
];

pub fn run() -> Outcome {
    let tree = Tree::read(&process::workspace_root())?;
    lengths::print_longest(&tree);
    let mut findings: Vec<Finding> = FILE_RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.extend(features::check()?);
    findings.extend(licences::check()?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files keep the house rules", tree.files.len());
        Ok(())
    } else {
        Err(Failure::new(
            format!("{} findings", findings.len()),
            "each line above says what to change; CONTRIBUTING.md tells why the rules exist",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_printed_where_an_editor_can_jump_to_it() {
        assert_eq!(Finding::new("a/b.rs", 7, "wrong").to_string(), "a/b.rs:7: wrong");
        assert_eq!(Finding::new("a/b.rs", 0, "wrong").to_string(), "a/b.rs: wrong");
    }

    #[test]
    fn every_rule_is_silent_about_an_empty_tree() {
        for rule in FILE_RULES {
            assert_eq!(rule(&Tree::default()), []);
        }
    }
}
