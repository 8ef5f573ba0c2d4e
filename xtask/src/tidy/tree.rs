//! The files of the repository, read once, with their Rust code already stripped of comments and strings.

use super::source::Source;
use crate::step::{Failure, Outcome};
use std::path::Path;

/// What holds no sources of ours: directories, and the file that `.git` is in a second working tree.
const SKIPPED: &[&str] = &["target", ".git", ".venv", "__pycache__", "node_modules", ".jj"];

/// Larger files are data (golden files, corpora), not text somebody wrote.
const TEXT_BYTES_MAX: u64 = 2 << 20;

pub struct File {
    /// Relative to the root, with `/` on every platform.
    pub path: String,
    pub text: String,
    /// Present for `.rs` files.
    pub source: Option<Source>,
}

#[derive(Default)]
pub struct Tree {
    pub files: Vec<File>,
    /// Paths of everything, also of files that are not text.
    pub paths: Vec<String>,
}

impl Tree {
    pub fn read(root: &Path) -> Outcome<Self> {
        let mut tree = Self::default();
        tree.read_dir(root, "")
            .map_err(Failure::because("cannot read the repository"))?;
        Ok(tree)
    }

    fn read_dir(&mut self, dir: &Path, prefix: &str) -> std::io::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() && !name.starts_with("target-") {
                self.read_dir(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                self.paths.push(path.clone());
                if entry.metadata()?.len() <= TEXT_BYTES_MAX
                    && let Ok(text) = String::from_utf8(std::fs::read(entry.path())?)
                {
                    self.add(&path, text);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: String) {
        let source = path.ends_with(".rs").then(|| Source::new(path, &text));
        self.files.push(File {
            path: path.to_owned(),
            text,
            source,
        });
    }

    /// The Rust files, with their code.
    pub fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.source.as_ref()?)))
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

#[cfg(test)]
impl Tree {
    /// A tree of planted files, for the tests of the rules.
    pub fn planted(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.paths.push((*path).to_owned());
            tree.add(path, (*text).to_owned());
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_without_what_cargo_and_git_keep_in_it() {
        let root = std::env::temp_dir().join(format!("holdfast-tidy-tree-{}", std::process::id()));
        for (path, text) in [
            ("src/lib.rs", "//! x\n"),
            ("target/debug/a.rs", ""),
            (".git/config", ""),
            ("README.md", "hi"),
        ] {
            let file = root.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        std::fs::write(root.join("src/golden.bin"), [0xFF, 0xFE]).unwrap();
        let tree = Tree::read(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(tree.paths, ["README.md", "src/golden.bin", "src/lib.rs"]);
        assert_eq!(tree.files.len(), 2, "a file that is not text has a path and no text");
        assert_eq!(tree.rust().count(), 1);
    }
}
