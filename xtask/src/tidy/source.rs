//! Rust code as the rules see it: comments and the insides of strings blanked out, every line still in its place.
//!
//! Invariant: `code` has exactly the bytes-per-line layout of the text, so an offset in one is an offset in the
//! other. Regions compiled only for tests are known, since most rules are about what ships.
//!
//! Weak: `#[cfg(test)]` is recognised by its spelling (also inside `all(…)`), not evaluated.

use std::ops::Range;

pub struct Source {
    pub code: String,
    line_starts: Vec<usize>,
    test_regions: Vec<Range<usize>>,
    pub functions: Vec<Function>,
}

/// One function with a body.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
    pub in_test: bool,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let mut line_starts = vec![0];
        line_starts.extend(
            code.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at + 1),
        );
        let is_test_file = path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs");
        let test_regions = if is_test_file {
            std::iter::once(0..code.len()).collect()
        } else {
            test_regions(&code)
        };
        let mut source = Self {
            code,
            line_starts,
            test_regions,
            functions: Vec::new(),
        };
        source.functions = source.find_functions();
        source
    }

    /// The line, counted from 1, of an offset in the code.
    pub fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    pub fn in_test(&self, offset: usize) -> bool {
        self.test_regions.iter().any(|region| region.contains(&offset))
    }

    /// Lines that are not compiled only for tests.
    pub fn shipped_lines(&self) -> usize {
        let total = self.code.lines().count();
        let in_tests: usize = self
            .test_regions
            .iter()
            .map(|region| self.line_of(region.end.saturating_sub(1)) - self.line_of(region.start) + 1)
            .sum();
        total.saturating_sub(in_tests)
    }

    /// Offsets where `word` stands alone in the code.
    pub fn words(&self, word: &str) -> Vec<usize> {
        words_in(&self.code, word)
    }

    fn find_functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for start in self.words("fn") {
            let after = &self.code[start + 2..];
            let name: String = after
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if name.is_empty() {
                continue; // a function pointer type
            }
            let Some(end) = item_end(&self.code, start) else {
                continue;
            };
            if self.code.as_bytes()[end - 1] == b';' {
                continue; // a declaration without a body
            }
            let line = self.line_of(start);
            functions.push(Function {
                name,
                line,
                lines: self.line_of(end - 1) - line + 1,
                in_test: self.in_test(start),
            });
        }
        functions
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn words_in(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let stands_alone = |at: &usize| {
        let before = at.checked_sub(1).is_some_and(|before| is_word_byte(bytes[before]));
        let after = bytes.get(at + word.len()).is_some_and(|after| is_word_byte(*after));
        !before && !after
    };
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(stands_alone)
        .collect()
}

/// Just past the item that starts at `start`: its closing brace, or its semicolon when that comes first.
fn item_end(code: &str, start: usize) -> Option<usize> {
    let mut nested = 0i64;
    let mut braces = 0i64;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested -= 1,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 && nested == 0 {
                    return Some(at + 1);
                }
            }
            b';' if braces == 0 && nested == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn test_regions(code: &str) -> Vec<Range<usize>> {
    let mut regions: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices("#[cfg(") {
        let Some(attribute_bytes) = code[start..].find(']') else {
            continue;
        };
        let attribute = &code[start..start + attribute_bytes];
        let condition = attribute["#[cfg(".len()..].trim_start();
        let only_tests = condition.starts_with("test)") || condition.starts_with("all(test");
        if only_tests && let Some(end) = item_end(code, start + attribute_bytes + 1) {
            // Nested test regions would count their lines twice.
            if regions.last().is_none_or(|last| last.end <= start) {
                regions.push(start..end);
            }
        }
    }
    regions
}

/// Replaces comments and the insides of string and character literals by spaces.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let literal_end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => Some(line_end(bytes, at)),
            b'/' if bytes.get(at + 1) == Some(&b'*') => Some(block_comment_end(bytes, at)),
            b'"' => Some(string_end(bytes, at)),
            b'r' if at == 0 || !is_word_byte(bytes[at - 1]) || is_literal_prefix(bytes, at) => {
                raw_string_end(bytes, at)
            }
            b'\'' => character_end(bytes, at),
            _ => None,
        };
        let Some(end) = literal_end else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Only whole literals and comments were replaced, byte for byte, so what is left is still UTF-8.
    String::from_utf8(code).unwrap_or_default()
}

/// Whether the `r` at `at` follows the `b` or `c` of a byte or C string.
fn is_literal_prefix(bytes: &[u8], at: usize) -> bool {
    matches!(bytes[at - 1], b'b' | b'c') && (at < 2 || !is_word_byte(bytes[at - 2]))
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    bytes[start..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |length| start + length)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    let body = start + 1 + hashes;
    if bytes.get(body) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let length = bytes[body + 1..]
        .windows(close.len())
        .position(|window| window == close);
    Some(length.map_or(bytes.len(), |length| body + 1 + length + close.len()))
}

/// The end of a character literal, or nothing when the quote begins a lifetime.
fn character_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start + 1) == Some(&b'\\') {
        let closing = bytes.get(start + 3..)?.iter().position(|byte| *byte == b'\'')?;
        return Some(start + 3 + closing + 1);
    }
    // A character takes up to four bytes; a lifetime is never closed.
    let width = match bytes.get(start + 1)? {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    };
    (bytes.get(start + 1 + width) == Some(&b'\'')).then_some(start + width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_nothing_else() {
        let text = "let a = \"fn x() {\"; // fn y() {\nlet b = '{'; let c: &'static str = r#\"}\"#; /* { /* } */ */ d('\\'');\n";
        let code = blank(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains('{') && !code.contains('}'), "{code}");
        assert!(code.contains("&'static str") && code.contains("d("), "{code}");
        assert!(blank("for x in 'é'..'z' {").ends_with('{'));
        assert!(!blank(r##"br#"{"# "##).contains('{'));
    }

    #[test]
    fn functions_are_measured_from_signature_to_closing_brace() {
        let text = "trait T { fn declared(&self); }\nfn one(x: [u8; 4]) -> u8 {\n  if a { b }\n  c\n}\ntype F = fn(u8) -> u8;\n";
        let source = Source::new("crates/x/src/lib.rs", text);
        let found: Vec<_> = source
            .functions
            .iter()
            .map(|f| (f.name.as_str(), f.line, f.lines))
            .collect();
        assert_eq!(found, [("one", 2, 4)]);
    }

    #[test]
    fn what_only_tests_compile_is_known() {
        let text = "fn ships() {}\n#[cfg(test)]\nmod tests {\n    fn checks() {}\n}\n#[cfg(all(test, unix))]\nuse a::b;\n#[cfg(feature = \"test\")]\nfn also_ships() {}\n";
        let source = Source::new("crates/x/src/lib.rs", text);
        let in_tests: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.in_test)).collect();
        assert_eq!(in_tests, [("ships", false), ("checks", true), ("also_ships", false)]);
        assert_eq!(source.shipped_lines(), 3);
        assert!(Source::new("crates/x/tests/it/main.rs", "fn f() {}").functions[0].in_test);
    }
}
