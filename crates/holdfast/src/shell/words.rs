//! A line as words: separated by blanks, with quotes around what has blanks in it.
//!
//! The rules are those of a shell at their simplest: `'…'` takes everything as it is, `"…"` lets `\` escape, and so does a
//! bare `\`. Nothing is expanded.

use crate::failure::Failure;

/// A line, cut into words.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    text: &'a str,
    words: Vec<Word>,
}

#[derive(Debug, PartialEq, Eq)]
struct Word {
    text: String,
    /// Where it begins in the line, its quote included.
    at: usize,
}

impl<'a> Line<'a> {
    /// Cuts a line into words.
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        let mut words: Vec<Word> = Vec::new();
        let mut open: Option<Word> = None;
        let mut quote: Option<char> = None;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            if quote.is_none() && c.is_whitespace() {
                words.extend(open.take());
                continue;
            }
            let word = open.get_or_insert_with(|| Word {
                text: String::new(),
                at,
            });
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(mark), c) if c == mark => quote = None,
                (None | Some('"'), '\\') => match chars.next() {
                    Some((_, escaped)) => word.text.push(escaped),
                    None => return Err(unfinished("a `\\` with nothing behind it")),
                },
                (_, c) => word.text.push(c),
            }
        }
        if let Some(mark) = quote {
            return Err(unfinished(&format!("a {mark} that is not closed")));
        }
        words.extend(open);
        Ok(Self { text, words })
    }

    /// The words, the verb among them.
    pub fn words(&self) -> Vec<&str> {
        self.words.iter().map(|word| word.text.as_str()).collect()
    }

    /// Everything from a word on, as it was written; one word alone without its quotes.
    pub fn rest_from(&self, index: usize) -> &str {
        match self.words.get(index..) {
            Some([only]) => &only.text,
            Some([first, ..]) => self.text[first.at..].trim_end(),
            _ => "",
        }
    }
}

fn unfinished(what: &str) -> Failure {
    Failure::usage(
        format!("the line has {what}"),
        "close the quote, or write a \\ before a quote that is meant",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let line = Line::parse(text).expect("whole");
        line.words().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn blanks_separate_and_quotes_keep_together() {
        assert_eq!(words("  save  k   v "), ["save", "k", "v"]);
        assert_eq!(
            words(r#"put 'a b' "c \"d\" \\" e\ f g"h"i"#),
            ["put", "a b", "c \"d\" \\", "e f", "ghi"]
        );
        assert_eq!(words("save ü ''"), ["save", "ü", ""]);
        assert!(words(" \t ").is_empty());
    }

    #[test]
    fn the_rest_is_as_it_was_written() {
        let line = Line::parse(r#"save k  it's  "quoted" \n' end "#).expect("whole");
        assert_eq!(line.rest_from(2), r#"it's  "quoted" \n' end"#);
        assert_eq!(
            Line::parse("save k 'one  word'").expect("whole").rest_from(2),
            "one  word"
        );
        assert_eq!(Line::parse("save k").expect("whole").rest_from(2), "");
    }

    #[test]
    fn what_is_not_finished_is_told() {
        for text in ["save k 'open", "save \"k", "save k \\"] {
            assert!(Line::parse(text).is_err(), "{text}");
        }
    }
}
