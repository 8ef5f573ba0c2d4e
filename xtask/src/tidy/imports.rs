//! What code may name: no glob imports of our own modules, nothing that breaks the purity of the core, no
//! placeholders, no `unsafe` without its argument.

use super::Finding;
use super::source::Source;
use super::tree::Tree;

const CORE: &str = "crates/holdfast-core/src/";

/// `use crate::x::*` hides where a name comes from. `use super::*` is the idiom of test modules and allowed there.
pub fn globs_of_own_modules(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.rust() {
        for start in source.words("use") {
            let Some(length) = source.code[start..].find(';') else {
                continue;
            };
            let import: String = source.code[start + 3..start + length].split_whitespace().collect();
            let own = ["crate::", "self::", "super::", "holdfast"]
                .iter()
                .any(|own| import.starts_with(own));
            let idiom_of_tests = import == "super::*" && source.in_test(start);
            if own && import.contains('*') && !idiom_of_tests {
                let what = format!("`use {import}` hides where names come from: import each by name");
                findings.push(Finding::new(&file.path, source.line_of(start), what));
            }
        }
    }
    findings
}

/// Iterating a hash map depends on a random seed; a replayed simulation would take another path.
pub fn nondeterministic_maps_in_core(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in core_files(tree) {
        for map in ["HashMap", "HashSet"] {
            let shipped = source.words(map).into_iter().filter(|at| !source.in_test(*at));
            let what = format!("`{map}` has no fixed order, which the core needs for replay: use its BTree twin");
            findings.extend(shipped.map(|at| Finding::new(path, source.line_of(at), what.clone())));
        }
    }
    findings
}

/// The core is `no_std`; pulling std back in would let clocks, files and threads in unseen.
pub fn std_in_core(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in core_files(tree) {
        for at in source.words("extern") {
            let words: Vec<&str> = source.code[at..].split_whitespace().take(3).collect();
            if matches!(words[..], ["extern", "crate", "std;" | "std"]) && !source.in_test(at) {
                findings.push(Finding::new(
                    path,
                    source.line_of(at),
                    "`extern crate std` outside `#[cfg(test)]`",
                ));
            }
        }
        if path.ends_with("/lib.rs") && !source.code.contains("#![no_std]") {
            findings.push(Finding::new(path, 1, "the core has lost its `#![no_std]`"));
        }
    }
    findings
}

/// What was meant to be filled in before it was committed.
pub fn placeholders(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.rust() {
        for name in ["todo", "unimplemented", "dbg"] {
            let calls = source
                .words(name)
                .into_iter()
                .filter(|at| source.code[at + name.len()..].starts_with('!'));
            findings
                .extend(calls.map(|at| Finding::new(&file.path, source.line_of(at), format!("`{name}!` left behind"))));
        }
    }
    findings
}

/// Each `unsafe` is argued for in a comment just above it.
pub fn unsafe_without_a_reason(tree: &Tree) -> Vec<Finding> {
    const COMMENT_LINES_MAX: usize = 8;
    let mut findings = Vec::new();
    for (file, source) in tree.rust() {
        for at in source.words("unsafe") {
            let line = source.line_of(at);
            let above = file.text.lines().take(line).collect::<Vec<_>>();
            let argued = above
                .iter()
                .rev()
                .take(COMMENT_LINES_MAX)
                .any(|line| line.contains("SAFETY:"));
            if !argued {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    "`unsafe` without a `// SAFETY:` comment above it",
                ));
            }
        }
    }
    findings
}

fn core_files(tree: &Tree) -> impl Iterator<Item = (&str, &Source)> {
    tree.rust()
        .filter(|(file, _)| file.path.starts_with(CORE))
        .map(|(file, source)| (file.path.as_str(), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: Vec<Finding>) -> Vec<usize> {
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn globs_of_own_modules_are_found_and_the_idiom_of_tests_is_not() {
        let text = "//! x\nuse crate::clock::*;\nuse crate::{ids::*, time::Tick};\nuse proptest::prelude::*;\nuse super::*;\n\
                    #[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::ids::*;\n}\nuse holdfast_core::*;\n";
        let tree = Tree::planted(&[("crates/a/src/lib.rs", text)]);
        assert_eq!(lines(globs_of_own_modules(&tree)), [2, 3, 5, 9, 11]);
    }

    #[test]
    fn hash_maps_are_found_in_the_core_only_and_not_in_its_tests() {
        let text = "//! Not a HashMap.\nuse std::collections::HashMap;\n#[cfg(test)]\nmod tests { use std::collections::HashSet; }\n";
        let tree = Tree::planted(&[
            ("crates/holdfast-core/src/x.rs", text),
            ("crates/holdfast-node/src/x.rs", text),
        ]);
        assert_eq!(lines(nondeterministic_maps_in_core(&tree)), [2]);
    }

    #[test]
    fn std_in_the_core_is_found() {
        let text = "//! x\n#![no_std]\nextern crate alloc;\n#[cfg(test)]\nextern crate std;\n";
        assert_eq!(
            std_in_core(&Tree::planted(&[("crates/holdfast-core/src/lib.rs", text)])),
            []
        );
        let planted = "//! x\nextern crate std;\n";
        assert_eq!(
            lines(std_in_core(&Tree::planted(&[(
                "crates/holdfast-core/src/lib.rs",
                planted
            )]))),
            [2, 1]
        );
    }

    #[test]
    fn placeholders_are_found_and_words_in_prose_are_not() {
        let text = "//! todo!\nfn a() {\n    todo!()\n}\nfn todo() { dbg!(1); \"unimplemented!\" }\n";
        assert_eq!(lines(placeholders(&Tree::planted(&[("a.rs", text)]))), [3, 5]);
    }

    #[test]
    fn unsafe_needs_its_argument() {
        let text = "//! x\n#![forbid(unsafe_code)]\nfn a() {\n    // SAFETY: the index was checked above.\n    unsafe { b() }\n}\n";
        assert_eq!(unsafe_without_a_reason(&Tree::planted(&[("a.rs", text)])), []);
        assert_eq!(
            lines(unsafe_without_a_reason(&Tree::planted(&[(
                "a.rs",
                "//! x\nfn a() { unsafe { b() } }\n"
            )]))),
            [2]
        );
    }
}
