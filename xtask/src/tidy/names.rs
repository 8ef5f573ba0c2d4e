//! Files have names that say what is in them, and open by saying why they exist.

use super::Finding;
use super::tree::Tree;

/// Names under which everything ends up in the long run. A helper lives with its noun.
const SHAPELESS: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "stuff", "shared",
];

pub fn forbidden_file_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, _) in tree.rust() {
        let shapeless = file
            .path
            .split('/')
            .find(|part| SHAPELESS.contains(&part.trim_end_matches(".rs")));
        if let Some(part) = shapeless {
            findings.push(Finding::new(
                &file.path,
                0,
                format!("`{part}` says nothing: name the file after its noun"),
            ));
        }
    }
    findings
}

pub fn missing_file_docs(tree: &Tree) -> Vec<Finding> {
    let opens_with_docs = |text: &str| {
        let first = text.lines().find(|line| !line.trim().is_empty());
        first.is_some_and(|line| line.starts_with("//!") && line.trim_start_matches("//!").trim().len() > 1)
    };
    let silent = tree.rust().filter(|(file, _)| !opens_with_docs(&file.text));
    silent
        .map(|(file, _)| Finding::new(&file.path, 1, "does not open with `//!` and why it exists"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapeless_names_are_found() {
        let tree = Tree::planted(&[
            ("crates/a/src/util.rs", "//! x"),
            ("crates/a/src/common/mod.rs", "//! x"),
            ("crates/a/src/commonplace.rs", "//! x"),
            ("crates/a/src/clock.rs", "//! x"),
        ]);
        let paths: Vec<_> = forbidden_file_names(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(paths, ["crates/a/src/util.rs", "crates/a/src/common/mod.rs"]);
    }

    #[test]
    fn a_file_without_its_why_is_found() {
        let tree = Tree::planted(&[
            ("a.rs", "//! Clocks.\n"),
            ("b.rs", "use std::fmt;\n//! Late.\n"),
            ("c.rs", "\n"),
            ("d.rs", "//!\n"),
            ("e.rs", "// A plain comment.\n"),
        ]);
        let paths: Vec<_> = missing_file_docs(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(paths, ["b.rs", "c.rs", "d.rs", "e.rs"]);
    }
}
