//! Words that must not enter the repository: it stands alone, whatever machine it was written on.
//!
//! The list is short on purpose. Each entry is spelled in two halves, so that this file does not find itself.

use super::Finding;
use super::tree::Tree;

/// (word, why it must not be here)
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/tmp/", "brief"), "a path of one machine"),
    (concat!("/tmp/", "bugs"), "a path of one machine"),
    (concat!("/opt/", "wheels"), "a path of one machine"),
    (concat!("PIP_", "FIND_LINKS"), "a setting of one machine"),
    (concat!("<<<<", "<<< "), "an unfinished merge"),
    (
        concat!("BEGIN ", "PRIVATE KEY"),
        "a private key: make one in the test that needs it",
    ),
    (
        concat!("BEGIN ", "RSA PRIVATE KEY"),
        "a private key: make one in the test that needs it",
    ),
];

pub fn forbidden_words(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in file.text.lines().enumerate() {
            for (word, why) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
                findings.push(Finding::new(&file.path, number + 1, format!("`{word}`: {why}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_word_is_found_in_any_kind_of_file() {
        let planted = format!("fine\nsee {}x\n", FORBIDDEN[0].0);
        let findings = forbidden_words(&Tree::planted(&[("README.md", &planted), ("a.rs", "//! fine\n")]));
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("README.md", 2));
    }
}
