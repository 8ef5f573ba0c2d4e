//! The configuration file: TOML, flat, with the line and the key of whatever is wrong in it.

use std::path::Path;

use crate::config::Settings;
use crate::failure::{Exit, Failure, local};

/// A configuration longer than this is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a configuration file.
pub fn read(path: &Path) -> Result<Settings, Failure> {
    let cannot =
        |error| local(format!("the configuration {} cannot be read", path.display()), &error).exit(Exit::Usage);
    if std::fs::metadata(path).map_err(cannot)?.len() > FILE_BYTES_MAX {
        return Err(Failure::usage(
            format!("{} is not a configuration: it is larger than 1 MiB", path.display()),
            ADVICE,
        ));
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::usage(
            format!("{} is not a configuration: it is not UTF-8", path.display()),
            ADVICE,
        )
    })?;
    parse(&text).map_err(|why| Failure::usage(format!("{}, {why}", path.display()), ADVICE))
}

const ADVICE: &str = "correct the file; `holdfast server --help` lists every setting, and --check tries it out";

/// Parses a configuration; the error begins with the line.
fn parse(text: &str) -> Result<Settings, String> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = &text.as_bytes()[..at];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let written = text.lines().nth(line - 1).unwrap_or_default();
        let key = written.split('=').next().unwrap_or_default().trim();
        // "unknown field `x`, expected one of `data`, …" lists every key there is; what matters is which is wrong.
        let why = error
            .message()
            .split(", expected one of")
            .next()
            .unwrap_or_default()
            .replace("unknown field", "unknown key");
        if key.is_empty() || why.contains(&format!("`{key}`")) {
            format!("line {line}: {why}")
        } else {
            format!("line {line}, {key}: {why}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Capacity;

    #[test]
    fn every_kind_of_value_is_read() {
        let text = "data = '/srv/holdfast'\ncapacity = '2TB'\nbind = '::1'\ns3_bind = '[::]:9000'\n\
                    base_domains = ['s3.example.org']\nunsafe_no_sync = false\nlog_format = 'json'\nfound = 3\n";
        let settings = parse(text).expect("valid");
        assert_eq!(settings.capacity, Some(Capacity(2_000_000_000_000)));
        assert_eq!(settings.bind, Some("::1".parse().expect("an address")));
        assert_eq!(settings.found, Some(3));
        assert_eq!(parse("capacity = 5").expect("valid").capacity, Some(Capacity(5)));
        assert_eq!(parse("").expect("valid"), Settings::default());
    }

    #[test]
    fn errors_name_line_and_key() {
        let unknown = parse("data = 'x'\n\ntls_crt = 'y'\n").expect_err("unknown");
        assert_eq!(unknown, "line 3: unknown key `tls_crt`");
        let wrong = parse("data = 'x'\ns3_bind = 'here'\n").expect_err("no address");
        assert!(wrong.starts_with("line 2, s3_bind: "), "{wrong}");
        let broken = parse("data = \n").expect_err("no value");
        assert!(broken.starts_with("line 1"), "{broken}");
        let size = parse("capacity = '1.5TB'").expect_err("no size");
        assert!(size.starts_with("line 1, capacity: "), "{size}");
    }
}
