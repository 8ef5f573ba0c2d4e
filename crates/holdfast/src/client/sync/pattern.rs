//! Which files of a tree take part: all but those that an `--exclude` matches and no `--include` does.
//!
//! `*` stands for any number of characters, slashes too, and `?` for one. Patterns are held against the path below the tree,
//! from its beginning to its end.

/// What takes part.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    /// What does not.
    pub exclude: Vec<String>,
    /// What does all the same.
    pub include: Vec<String>,
}

impl Patterns {
    /// Whether a path below the tree takes part.
    pub fn admit(&self, path: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, path));
        !any(&self.exclude) || any(&self.include)
    }
}

/// Goes back to the last star alone, so that no pattern takes more than its length times the path's.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) = (pattern.chars().collect(), path.chars().collect());
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while of < path.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == path[of] => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((star_at, star_of)) = star else { return false };
                at = star_at + 1;
                of = star_of + 1;
                star = Some((star_at, of));
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, path) in [
            ("*", ""),
            ("*.tmp", "a/b.tmp"),
            ("a/*", "a/b/c"),
            ("a?c", "abc"),
            ("*b*d", "abcbd"),
            ("ü*", "über"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.tmp", "a.tmp.x"),
            ("a?c", "ac"),
            ("", "x"),
            ("a/*", "b/a/c"),
            ("?", ""),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
        let (pattern, path) = ("*a".repeat(200), "a".repeat(5_000) + "b");
        assert!(!matches(&pattern, &path), "and in time");
    }

    #[test]
    fn what_is_included_takes_part_all_the_same() {
        let patterns = Patterns {
            exclude: vec!["*.log".to_owned(), "cache/*".to_owned()],
            include: vec!["*keep.log".to_owned()],
        };
        let admitted = |path| patterns.admit(path);
        assert!(admitted("a") && admitted("x/keep.log") && admitted("cache"));
        assert!(!admitted("x.log") && !admitted("cache/a"));
        assert!(Patterns::default().admit("anything"));
    }
}
