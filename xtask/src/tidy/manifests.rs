//! What the manifests promise: a reason for each dependency, one place for versions, and arrows between our crates
//! that point one way.
//!
//! Reads just the TOML that manifests are written in: section heads and `name = value` lines. A dependency written
//! as its own section (`[dependencies.name]`) counts as one, too.

use super::Finding;
use super::tree::Tree;

/// Which of our crates each of our crates may import, in any of its dependency sections.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("holdfast-core", &[]),
    ("holdfast-store", &["holdfast-core"]),
    ("holdfast-node", &["holdfast-core", "holdfast-store"]),
    ("holdfast-api", &["holdfast-core", "holdfast-proto"]),
    ("holdfast-proto", &[]),
    ("holdfast-sim", &["holdfast-core", "holdfast-store"]),
    (
        "holdfast",
        &["holdfast-core", "holdfast-store", "holdfast-node", "holdfast-api"],
    ),
    ("holdfast-bench", &[]),
    ("holdfast-models", &[]),
];

#[derive(Debug, PartialEq)]
struct Dependency {
    name: String,
    /// What is right of the equals sign, or nothing for a section of its own.
    value: String,
    line: usize,
}

pub fn dependencies_without_a_reason(tree: &Tree) -> Vec<Finding> {
    let Some(manifest) = tree.get("Cargo.toml") else {
        return Vec::new();
    };
    let lines: Vec<&str> = manifest.text.lines().collect();
    let is_comment = |line: usize| {
        line >= 1
            && lines
                .get(line - 1)
                .is_some_and(|line| line.trim_start().starts_with('#'))
    };
    let mut findings = Vec::new();
    for dependency in dependencies(&manifest.text, |section| section == "workspace.dependencies") {
        let ours = dependency.value.contains("path =");
        if !ours && !is_comment(dependency.line - 1) {
            let what = format!(
                "`{}` has no reason: say in the line above what we need it for",
                dependency.name
            );
            findings.push(Finding::new("Cargo.toml", dependency.line, what));
        }
    }
    findings
}

pub fn dependencies_outside_the_workspace_table(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in member_manifests(tree) {
        for dependency in dependencies(text, is_dependency_section) {
            let inherits = dependency.name.ends_with(".workspace") || dependency.value.contains("workspace = true");
            if !inherits && !is_itself(&dependency) {
                let what = format!(
                    "`{}` must say `workspace = true`: versions and reasons live in the root manifest",
                    dependency.name
                );
                findings.push(Finding::new(path, dependency.line, what));
            }
        }
    }
    findings
}

pub fn forbidden_imports_between_crates(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in member_manifests(tree) {
        let found = dependencies(text, is_dependency_section);
        if path == "xtask/Cargo.toml" {
            let what = "xtask uses the standard library only: it must build before everything else does";
            findings.extend(found.iter().map(|dependency| Finding::new(path, dependency.line, what)));
            continue;
        }
        let crate_name = path.trim_start_matches("crates/").trim_end_matches("/Cargo.toml");
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == crate_name) else {
            findings.push(Finding::new(
                path,
                0,
                "a crate that the table of allowed imports in tidy does not know",
            ));
            continue;
        };
        for dependency in found {
            let name = dependency.name.trim_end_matches(".workspace");
            if name.starts_with("holdfast") && !allowed.contains(&name) && !is_itself(&dependency) {
                let what = format!("`{crate_name}` may not import `{name}`");
                findings.push(Finding::new(path, dependency.line, what));
            }
        }
    }
    findings
}

/// A crate may name itself, to switch on a feature for its own integration tests.
fn is_itself(dependency: &Dependency) -> bool {
    dependency.value.contains("path = \".\"")
}

fn member_manifests(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let members = tree.files.iter().filter(|file| {
        file.path == "xtask/Cargo.toml"
            || (file.path.starts_with("crates/")
                && file.path.ends_with("/Cargo.toml")
                && file.path.matches('/').count() == 2)
    });
    members.map(|file| (file.path.as_str(), file.text.as_str()))
}

fn is_dependency_section(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or(section);
    matches!(last, "dependencies" | "dev-dependencies" | "build-dependencies")
}

/// The dependencies in the sections that `wanted` picks.
fn dependencies(manifest: &str, wanted: impl Fn(&str) -> bool) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut in_wanted = false;
    // A value may go on over several lines while its brackets are open.
    let mut open_brackets = 0i32;
    for (number, line) in manifest.lines().enumerate() {
        let code = line.split('#').next().unwrap_or_default().trim();
        if open_brackets == 0 && code.starts_with('[') && code.ends_with(']') {
            let section = code.trim_matches(['[', ']']);
            in_wanted = wanted(section);
            if !in_wanted
                && let Some((parent, name)) = section.rsplit_once('.')
                && wanted(parent)
            {
                // The section's own lines hold `workspace = true`; the next few belong to it.
                let rest: Vec<&str> = manifest
                    .lines()
                    .skip(number + 1)
                    .take_while(|line| !line.starts_with('['))
                    .collect();
                found.push(Dependency {
                    name: name.to_owned(),
                    value: rest.join("\n"),
                    line: number + 1,
                });
            }
        } else if in_wanted
            && open_brackets == 0
            && let Some((name, value)) = code.split_once('=')
        {
            let name = name.trim().trim_matches('"').to_owned();
            found.push(Dependency {
                name,
                value: value.trim().to_owned(),
                line: number + 1,
            });
        }
        if !code.starts_with('[') || open_brackets > 0 {
            let delta =
                |open: char, close: char| code.matches(open).count() as i32 - code.matches(close).count() as i32;
            open_brackets += delta('[', ']') + delta('{', '}');
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(findings: Vec<Finding>) -> Vec<(usize, String)> {
        findings
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest = "[workspace]\nmembers = [\"a\"]\n\n[workspace.dependencies]\nours = { path = \"crates/ours\" }\n\
                        # Because.\ngood = \"1\"\nbad = \"1\"\n# For tables,\n# and for trees.\nlong = { version = \"1\", features = [\n  \"x\",\n] }\n\
                        [profile.dev]\ndebug = 1\n";
        let found = whats(dependencies_without_a_reason(&Tree::planted(&[(
            "Cargo.toml",
            manifest,
        )])));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, 8);
    }

    #[test]
    fn a_version_in_a_member_is_found() {
        let manifest = "[package]\nname = \"holdfast-node\"\n[dependencies]\nbytes.workspace = true\n\
                        core = { workspace = true, features = [\"planted\"] }\nserde = \"1\"\n[dependencies.toml]\nversion = \"1\"\n\
                        [dev-dependencies.clap]\nworkspace = true\n[target.'cfg(unix)'.dependencies]\nrustix = { version = \"1\" }\n\
                        [dev-dependencies]\nholdfast-node = { path = \".\", features = [\"x\"] }\n";
        let tree = Tree::planted(&[("crates/holdfast-node/Cargo.toml", manifest)]);
        let found: Vec<_> = whats(dependencies_outside_the_workspace_table(&tree));
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [6, 7, 12], "{found:?}");
    }

    #[test]
    fn arrows_that_point_the_wrong_way_are_found() {
        let core = "[dependencies]\nbytes.workspace = true\n[dev-dependencies]\nholdfast-store.workspace = true\n";
        let node = "[dependencies]\nholdfast-core.workspace = true\nholdfast-api = { workspace = true }\n\
                    [dev-dependencies]\nholdfast-node = { path = \".\" }\n";
        let tree = Tree::planted(&[
            ("crates/holdfast-core/Cargo.toml", core),
            ("crates/holdfast-node/Cargo.toml", node),
            ("crates/holdfast-new/Cargo.toml", ""),
            ("xtask/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
        ]);
        let found = whats(forbidden_imports_between_crates(&tree));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].1.contains("may not import `holdfast-store`"));
        assert!(found[1].1.contains("may not import `holdfast-api`"));
        assert!(found[2].1.contains("does not know"));
        assert!(found[3].1.contains("standard library only"));
    }
}
