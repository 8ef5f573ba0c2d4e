//! Hub files rot first: every long-lived store has one file that grew to ten thousand lines. These limits are where
//! a reader starts to scroll instead of read; the longest are printed on each run, so that nobody is surprised.
//!
//! Whoever has a reason to exceed a limit says so where the reader meets it: `// Long on purpose: …` within the
//! three lines above the function, or `//! Long on purpose: …` in the head of the file.

use super::Finding;
use super::source::Function;
use super::tree::{File, Tree};

/// Without what only tests compile: a file is split by verb long before its tests move out.
const FILE_LINES_MAX: usize = 600;
/// With its tests.
const FILE_LINES_WITH_TESTS_MAX: usize = 1_000;
const FUNCTION_LINES_MAX: usize = 100;
/// A test tells one story from top to bottom, which may take longer.
const TEST_FUNCTION_LINES_MAX: usize = 150;
const LONGEST_PRINTED: usize = 10;
const EXCUSE: &str = "Long on purpose:";

pub fn long_files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.rust() {
        let (shipped, total) = (source.shipped_lines(), file.text.lines().count());
        let excused = file
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .any(|line| line.contains(EXCUSE));
        if (shipped > FILE_LINES_MAX || total > FILE_LINES_WITH_TESTS_MAX) && !excused {
            let what = format!(
                "{shipped} lines, {total} with tests (at most {FILE_LINES_MAX} and {FILE_LINES_WITH_TESTS_MAX}): split it by verb"
            );
            findings.push(Finding::new(&file.path, 0, what));
        }
    }
    findings
}

pub fn long_functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.rust() {
        for function in &source.functions {
            let lines_max = if function.in_test {
                TEST_FUNCTION_LINES_MAX
            } else {
                FUNCTION_LINES_MAX
            };
            if function.lines > lines_max && !is_excused(file, function) {
                let what = format!("`{}` has {} lines (at most {lines_max})", function.name, function.lines);
                findings.push(Finding::new(&file.path, function.line, what));
            }
        }
    }
    findings
}

fn is_excused(file: &File, function: &Function) -> bool {
    let above = file.text.lines().take(function.line).collect::<Vec<_>>();
    above
        .iter()
        .rev()
        .take(4)
        .any(|line| line.trim_start().starts_with("//") && line.contains(EXCUSE))
}

pub fn print_longest(tree: &Tree) {
    let mut files: Vec<(usize, &str)> = tree
        .rust()
        .map(|(file, source)| (source.shipped_lines(), file.path.as_str()))
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    println!("The longest files (lines without tests):");
    for (lines, path) in files.iter().take(LONGEST_PRINTED) {
        println!("  {lines:>5} {path}");
    }
    let mut functions: Vec<(usize, String)> = Vec::new();
    for (file, source) in tree.rust() {
        let shipped = source.functions.iter().filter(|function| !function.in_test);
        functions.extend(shipped.map(|f| (f.lines, format!("{}:{} {}", file.path, f.line, f.name))));
    }
    functions.sort_by(|a, b| b.cmp(a));
    println!("The longest functions:");
    for (lines, place) in functions.iter().take(LONGEST_PRINTED) {
        println!("  {lines:>5} {place}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_found_and_their_tests_count_less() {
        let shipped = format!("//! x\n{}", "const A: u8 = 1;\n".repeat(FILE_LINES_MAX));
        let tested = format!(
            "//! x\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "fn a() {}\n".repeat(FILE_LINES_MAX)
        );
        let excused = format!(
            "//! x\n//! Long on purpose: a table.\n{}",
            "const A: u8 = 1;\n".repeat(FILE_LINES_MAX)
        );
        let tree = Tree::planted(&[("long.rs", &shipped), ("tested.rs", &tested), ("table.rs", &excused)]);
        let paths: Vec<_> = long_files(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["long.rs"]);
    }

    #[test]
    fn long_functions_are_found_unless_they_say_why() {
        let body = "    a();\n".repeat(FUNCTION_LINES_MAX);
        let text = format!(
            "//! x\nfn long() {{\n{body}}}\n// Long on purpose: one arm per message.\nfn table() {{\n{body}}}\nfn short() {{}}\n"
        );
        let findings = long_functions(&Tree::planted(&[("a.rs", &text)]));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].line, 2);
    }
}
