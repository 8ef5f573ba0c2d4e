//! The documents name files and rules that exist.
//!
//! A path is what stands in backticks or in a link and either begins with a directory of the repository or ends like
//! a source file with a directory before it (`coordinate/put.rs` may name any file that ends so). A rule is cited as
//! `rule` or `rules` followed by names such as D4; `docs/protocol.md` is the register of rules.

use super::Finding;
use super::tree::Tree;

const PROTOCOL: &str = "docs/protocol.md";

pub fn dead_paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (number, line) in file.text.lines().enumerate() {
            for path in quoted_paths(line).into_iter().chain(linked_paths(line, &file.path)) {
                if names_a_file_of_ours(tree, &path) && !exists(tree, &path) {
                    findings.push(Finding::new(&file.path, number + 1, format!("`{path}` does not exist")));
                }
            }
        }
    }
    findings
}

fn quoted_paths(line: &str) -> Vec<String> {
    let quoted = line.split('`').skip(1).step_by(2);
    let looks_like_a_path = |text: &&str| {
        text.contains('/')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
            && !text.starts_with('/')
    };
    quoted
        .filter(looks_like_a_path)
        .map(|text| text.trim_end_matches('/').to_owned())
        .collect()
}

fn linked_paths(line: &str, document: &str) -> Vec<String> {
    let dir = document.rsplit_once('/').map_or("", |(dir, _)| dir);
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let local = targets
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.starts_with('#'));
    local
        .map(|target| resolve(dir, target.split('#').next().unwrap_or(target)))
        .collect()
}

fn resolve(dir: &str, target: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/').filter(|part| !part.is_empty()) {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn names_a_file_of_ours(tree: &Tree, path: &str) -> bool {
    // What the build makes is named in documents and absent from a fresh checkout.
    let made_by_the_build = path.starts_with("target");
    let first = path.split('/').next().unwrap_or(path);
    let begins_in_the_tree = tree
        .paths
        .iter()
        .any(|known| known.split('/').next() == Some(first) && known.contains('/'));
    let ends_like_a_source = [".rs", ".md", ".toml", ".py"]
        .iter()
        .any(|ending| path.ends_with(ending));
    !made_by_the_build && (begins_in_the_tree || ends_like_a_source)
}

fn exists(tree: &Tree, path: &str) -> bool {
    let ending = format!("/{path}");
    let within = format!("{path}/");
    tree.paths.iter().any(|known| {
        known == path || known.starts_with(&within) || known.ends_with(&ending) || known.contains(&format!("{ending}/"))
    })
}

pub fn unknown_rules(tree: &Tree) -> Vec<Finding> {
    // Before the register exists there is nothing to compare with.
    let Some(protocol) = tree.get(PROTOCOL) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (file, _) in tree.rust().filter(|(file, _)| !file.path.starts_with("xtask/")) {
        for (number, line) in file.text.lines().enumerate() {
            for rule in cited_rules(line) {
                if !contains_word(&protocol.text, &rule) {
                    findings.push(Finding::new(
                        &file.path,
                        number + 1,
                        format!("rule {rule} is not in {PROTOCOL}"),
                    ));
                }
            }
        }
    }
    findings
}

/// The names after `rule` or `rules` on one line: `rule D4`, `(rules D1, Q3 and L7)`.
fn cited_rules(line: &str) -> Vec<String> {
    let mut rules = Vec::new();
    let mut words = line
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .peekable();
    while let Some(word) = words.next() {
        if !matches!(word, "rule" | "rules" | "Rule" | "Rules") {
            continue;
        }
        while let Some(next) = words.next_if(|next| is_rule_name(next) || matches!(*next, "and" | "with" | "or")) {
            if is_rule_name(next) {
                rules.push(next.to_owned());
            }
        }
    }
    rules
}

fn is_rule_name(word: &str) -> bool {
    let mut characters = word.chars();
    let letter = characters.next().is_some_and(|c| "DBLQHAGCSF".contains(c));
    let digits = characters.as_str();
    letter && !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
}

fn contains_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_do_not_exist_are_found() {
        let readme = "See `crates/a/src/lib.rs`, `crates/a`, `crates/gone`, `coordinate/put.rs`, `coordinate/lost.rs`.\n\
                      [map](docs/map.md) [no](docs/no.md#x) [out](https://example.org/x.md) `/v1/buckets` `target/x`\n\
                      `and/or` `a b/c`\n";
        let tree = Tree::planted(&[
            ("README.md", readme),
            ("docs/map.md", "[home](../README.md) [lost](lost.md)"),
            ("crates/a/src/lib.rs", ""),
            ("crates/a/src/coordinate/put.rs", ""),
        ]);
        let found: Vec<_> = dead_paths(&tree).into_iter().map(|finding| finding.what).collect();
        let names: Vec<_> = found.iter().filter_map(|what| what.split('`').nth(1)).collect();
        assert_eq!(
            names,
            ["crates/gone", "coordinate/lost.rs", "docs/no.md", "docs/lost.md"]
        );
    }

    #[test]
    fn rules_cited_but_not_written_down_are_found() {
        let code = "//! Second round (rule D4), by rules Q1, Q3 and Z9.\n// As a rule A is first. rules D4 with D2\n";
        assert_eq!(cited_rules(code.lines().next().unwrap()), ["D4", "Q1", "Q3"]);
        let known = ("docs/protocol.md", "**D4** Blind writes. **Q1** Put.");
        let findings = unknown_rules(&Tree::planted(&[known, ("a.rs", code)]));
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.line, finding.what.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (1, "rule Q3 is not in docs/protocol.md"),
                (2, "rule D2 is not in docs/protocol.md")
            ]
        );
        assert_eq!(unknown_rules(&Tree::planted(&[("a.rs", code)])), []);
    }
}
