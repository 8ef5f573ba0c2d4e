//! A `.rs` file that no `mod` names is not compiled: it looks like code, and nobody notices that it rots.

use super::Finding;
use super::source::Source;
use super::tree::Tree;
use std::collections::BTreeSet;

pub fn dead_files(tree: &Tree) -> Vec<Finding> {
    let mut alive = BTreeSet::new();
    let mut to_visit: Vec<String> = tree
        .rust()
        .map(|(file, _)| file.path.clone())
        .filter(|path| is_root(path))
        .collect();
    while let Some(path) = to_visit.pop() {
        if !alive.insert(path.clone()) {
            continue;
        }
        if let Some(file) = tree.get(&path)
            && let Some(source) = &file.source
        {
            to_visit.extend(
                children(&path, &file.text, source)
                    .into_iter()
                    .filter(|child| tree.get(child).is_some()),
            );
        }
    }
    let dead = tree.rust().filter(|(file, _)| !alive.contains(&file.path));
    dead.map(|(file, _)| Finding::new(&file.path, 0, "no `mod` names this file, so nothing compiles it"))
        .collect()
}

/// Whether cargo compiles the file by its place alone.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts[..],
        [.., "src", "lib.rs" | "main.rs"]
            | [.., "build.rs"]
            | [.., "bin" | "tests" | "benches" | "examples" | "fuzz_targets", _]
            | [.., "bin" | "tests" | "benches" | "examples", _, "main.rs"]
    )
}

/// Where the modules that this file declares without a body may live.
fn children(path: &str, text: &str, source: &Source) -> Vec<String> {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    // The modules of a root or of a `mod.rs` lie beside it, those of another file in the directory named after it.
    let own_dir = if is_root(path) || stem == "mod" {
        dir.to_owned()
    } else {
        format!("{dir}/{stem}")
    };
    let mut children = Vec::new();
    for at in source.words("mod") {
        let rest = source.code[at + 3..].trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !name.is_empty() && rest[name.len()..].trim_start().starts_with(';') {
            children.push(format!("{own_dir}/{name}.rs"));
            children.push(format!("{own_dir}/{name}/mod.rs"));
        }
    }
    let named_paths = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    children.extend(named_paths.map(|named| normalised(dir, named)));
    children
}

fn normalised(dir: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').collect();
    for part in relative.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_no_module_names_are_found() {
        let tree = Tree::planted(&[
            (
                "crates/a/src/lib.rs",
                "mod clock;\n// mod dead;\nmod inline { fn f() {} }\n#[path = \"odd/place.rs\"]\nmod odd;\n",
            ),
            ("crates/a/src/clock.rs", "mod dot;\npub mod life;\n"),
            ("crates/a/src/clock/dot.rs", ""),
            ("crates/a/src/clock/life/mod.rs", "mod inner;"),
            ("crates/a/src/clock/life/inner.rs", ""),
            ("crates/a/src/odd/place.rs", ""),
            ("crates/a/src/dead.rs", "mod deader;"),
            ("crates/a/src/dead/deader.rs", ""),
            ("crates/a/tests/it/main.rs", "mod put;"),
            ("crates/a/tests/it/put.rs", ""),
            ("crates/a/tests/it/forgotten.rs", ""),
        ]);
        let paths: Vec<_> = dead_files(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(
            paths,
            [
                "crates/a/src/dead.rs",
                "crates/a/src/dead/deader.rs",
                "crates/a/tests/it/forgotten.rs"
            ]
        );
    }
}
