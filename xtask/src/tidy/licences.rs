//! Every dependency may be used in a program under Apache-2.0.
//!
//! Asks `cargo metadata`, which needs no network once the dependencies are here. Advisories are not checked: their
//! database lives on the network. Weak: the manifest's own statement is believed, the licence files are not read.

use super::Finding;
use crate::json::Json;
use crate::process;
use crate::step::{Failure, Outcome};

/// Licences that allow use in an Apache-2.0 program. MPL-2.0 is copyleft per file, which leaves ours alone.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

pub fn check() -> Outcome<Vec<Finding>> {
    let metadata = process::output(process::cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata = Json::parse(&metadata).map_err(Failure::because("cannot read what cargo metadata printed"))?;
    Ok(forbidden_licences(&metadata))
}

fn forbidden_licences(metadata: &Json) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.field("packages").map(Json::list).unwrap_or_default() {
        let name = package.field("name").and_then(Json::text).unwrap_or("?");
        let version = package.field("version").and_then(Json::text).unwrap_or("?");
        let licence = package.field("license").and_then(Json::text);
        let what = match licence {
            Some(licence) if is_allowed(licence) => continue,
            Some(licence) => format!("{name} {version} is under `{licence}`, which tidy does not allow"),
            None => format!("{name} {version} does not state its licence"),
        };
        findings.push(Finding::new("Cargo.lock", 0, what));
    }
    findings
}

/// Evaluates an SPDX expression: `OR` needs one side, `AND` both. `/` is an old spelling of `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Spdx { words: &words, at: 0 };
    let allowed = parser.any();
    allowed && parser.at == words.len()
}

struct Spdx<'a> {
    words: &'a [&'a str],
    at: usize,
}

impl Spdx<'_> {
    fn take(&mut self, word: &str) -> bool {
        let taken = self.words.get(self.at) == Some(&word);
        self.at += usize::from(taken);
        taken
    }

    fn any(&mut self) -> bool {
        let mut allowed = self.all();
        while self.take("OR") {
            allowed |= self.all();
        }
        allowed
    }

    fn all(&mut self) -> bool {
        let mut allowed = self.one();
        while self.take("AND") {
            allowed &= self.one();
        }
        allowed
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let allowed = self.any();
            return self.take(")") && allowed;
        }
        let allowed = self.words.get(self.at).is_some_and(|word| ALLOWED.contains(word));
        self.at += 1;
        if self.take("WITH") {
            self.at += 1; // an exception only ever gives more rights
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_evaluated() {
        for allowed in [
            "MIT",
            "MIT OR Apache-2.0",
            "Apache-2.0/MIT",
            "GPL-3.0 OR MIT",
            "ISC AND (Apache-2.0 OR ISC)",
            "(Apache-2.0 OR MIT) AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "",
            "(MIT",
            "MIT)",
            "AGPL-3.0 OR SSPL-1.0",
            "MIT MIT",
        ] {
            assert!(!is_allowed(refused), "{refused}");
        }
    }

    #[test]
    fn a_package_with_a_bad_licence_or_none_is_found() {
        let metadata = Json::parse(
            r#"{"packages": [{"name": "a", "version": "1", "license": "MIT"}, {"name": "b", "version": "2", "license": "AGPL-3.0"},
                {"name": "c", "version": "3", "license": null}]}"#,
        )
        .unwrap();
        let whats: Vec<_> = forbidden_licences(&metadata)
            .into_iter()
            .map(|finding| finding.what)
            .collect();
        assert_eq!(whats.len(), 2);
        assert!(whats[0].contains("b 2") && whats[1].contains("c 3"));
    }
}
