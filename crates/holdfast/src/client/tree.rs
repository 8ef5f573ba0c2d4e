//! Trees of files as keys, and keys as trees of files.
//!
//! What is below the one is named after what is below the other, and never leaves it, whatever a key says.

use std::path::{Component, Path, PathBuf};

use crate::failure::{Failure, local};

/// A prefix as a folder: with a slash at its end, unless it is empty.
pub fn as_folder(key: &str) -> String {
    if key.is_empty() || key.ends_with('/') {
        key.to_owned()
    } else {
        format!("{key}/")
    }
}

/// What is called `rest` below a prefix.
pub fn join_key(prefix: &str, rest: &str) -> String {
    format!("{}{rest}", as_folder(prefix))
}

/// The path of a file below its tree, as a key.
pub fn key_of(path: &Path) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for part in path.components() {
        let Component::Normal(part) = part else { continue };
        let part = part.to_str().ok_or_else(|| {
            Failure::usage(
                format!("the name of {} is not UTF-8", path.display()),
                "rename it: keys are UTF-8",
            )
        })?;
        parts.push(part);
    }
    Ok(parts.join("/"))
}

/// Where below the target directory a key goes; never outside of it, whatever the key says.
pub fn below(base: &str, key: &str) -> Result<PathBuf, Failure> {
    let rest = key.strip_prefix(base).unwrap_or(key);
    let path = Path::new(rest);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || rest.is_empty() || rest.contains('\0') {
        return Err(Failure::new(
            format!("the key `{key}` is no path below the target directory"),
            "copy it by itself, to a name of your choice",
        ));
    }
    Ok(path.to_owned())
}

/// Length of a file that is to be copied.
pub fn file_size(path: &Path) -> Result<u64, Failure> {
    let found = std::fs::metadata(path).map_err(|error| local(format!("{} cannot be read", path.display()), &error))?;
    if found.is_dir() {
        return Err(Failure::usage(
            format!("{} is a directory", path.display()),
            "add -r to copy everything in it",
        ));
    }
    Ok(found.len())
}

/// All files below a directory, in order. Symbolic links to files are followed, those to directories are not: they may
/// lead in circles.
pub fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let cannot = |error| local(format!("{} cannot be read", directory.display()), &error);
    let mut entries: Vec<_> = std::fs::read_dir(directory)
        .map_err(cannot)?
        .collect::<Result<_, _>>()
        .map_err(cannot)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().map_err(cannot)?.is_dir() {
            walk(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_keep_their_shape() {
        assert_eq!(join_key("2026", "a/kelp.jpg"), "2026/a/kelp.jpg");
        assert_eq!(join_key("2026/", "kelp.jpg"), "2026/kelp.jpg");
        assert_eq!(join_key("", "kelp.jpg"), "kelp.jpg");
        assert_eq!(key_of(Path::new("./a/kelp.jpg")).expect("utf-8"), "a/kelp.jpg");
    }

    #[test]
    fn no_key_leaves_the_target_directory() {
        assert_eq!(below("x/", "x/a/b").expect("inside"), Path::new("a/b"));
        for key in [
            "x/../../etc/passwd",
            "x//etc/passwd",
            "x/",
            "/etc/passwd",
            "x/./a/../b",
            "x/a\0b",
        ] {
            assert!(below("x/", key).is_err(), "{key}");
        }
    }
}
