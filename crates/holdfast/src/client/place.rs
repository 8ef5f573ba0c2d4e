//! Where an object is, as the command line names it: `hf://bucket/key`, or `s3://bucket/key` for fingers that know aws.
//!
//! Keys are taken exactly as written after the bucket's slash: no decoding, no normalising. Only keys that no URL can
//! carry are refused here, because the request would reach another object (or the bucket itself).

use std::fmt;
use std::str::FromStr;

use crate::failure::Failure;

/// A bucket, and perhaps a key or prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The bucket.
    pub bucket: String,
    /// Everything after the bucket's slash; empty for the bucket itself.
    pub key: String,
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the cluster.
    Remote(Remote),
    /// A file or directory here.
    Local(std::path::PathBuf),
    /// Standard input or output.
    Stdio,
}

const SCHEMES: [&str; 2] = ["hf://", "s3://"];

impl Remote {
    /// Parses `hf://bucket/key` and `s3://bucket/key`; where no local path could be meant, `bucket/key` too.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = match SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) {
            Some(rest) => rest,
            None if text.contains("://") => {
                return Err(format!("`{text}` is not a Holdfast place: write hf://BUCKET/KEY"));
            }
            None => text,
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(format!("`{text}` names no bucket: write hf://BUCKET/KEY"));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }

    /// This place as the place of one object.
    pub fn object(&self) -> Result<&str, Failure> {
        check_key(&self.key).map_err(|why| {
            Failure::usage(
                format!("{self} does not name an object: {why}"),
                "write hf://BUCKET/KEY with a whole key",
            )
        })?;
        Ok(&self.key)
    }

    /// This place as that of a whole bucket.
    pub fn whole_bucket(&self) -> Result<&str, Failure> {
        if self.key.is_empty() {
            return Ok(&self.bucket);
        }
        Err(Failure::usage(
            format!("{self} names a key, not a bucket"),
            format!("write hf://{}", self.bucket),
        ))
    }

    /// The place of another key in the same bucket.
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Self {
            bucket: self.bucket.clone(),
            key: key.into(),
        }
    }
}

/// Whether a request for this key can be written as a URL that reaches it.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("the key is empty");
    }
    if key.len() > holdfast_core::ids::KEY_BYTES_MAX {
        return Err("keys are at most 1024 bytes long");
    }
    if key.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("`.` and `..` between slashes are resolved away by URLs, so such a key cannot be reached");
    }
    Ok(())
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf://{}", self.bucket)?;
        if !self.key.is_empty() {
            write!(f, "/{}", self.key)?;
        }
        Ok(())
    }
}

impl FromStr for Remote {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdio);
        }
        if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return Remote::parse(text).map(Self::Remote);
        }
        if text.is_empty() {
            return Err("a path or hf://BUCKET/KEY is needed".to_owned());
        }
        Ok(Self::Local(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(bucket: &str, key: &str) -> Remote {
        Remote {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn both_schemes_and_none_name_the_same_place() {
        for text in [
            "hf://photos/2026/kelp.jpg",
            "s3://photos/2026/kelp.jpg",
            "photos/2026/kelp.jpg",
        ] {
            assert_eq!(Remote::parse(text), Ok(remote("photos", "2026/kelp.jpg")));
        }
        assert_eq!(Remote::parse("hf://photos"), Ok(remote("photos", "")));
        assert_eq!(Remote::parse("hf://photos/"), Ok(remote("photos", "")));
    }

    #[test]
    fn keys_are_taken_as_written() {
        for key in ["/leading", "a//b", "a b%20+c?d#e", "trailing/", "ключ/鍵", "hf://x"] {
            assert_eq!(Remote::parse(&format!("hf://b/{key}")), Ok(remote("b", key)));
        }
        assert_eq!(Remote::parse("hf://b//x"), Ok(remote("b", "/x")));
    }

    #[test]
    fn a_copy_can_tell_paths_from_places() {
        assert_eq!(Place::from_str("-"), Ok(Place::Stdio));
        assert_eq!(
            Place::from_str("photos/kelp.jpg"),
            Ok(Place::Local("photos/kelp.jpg".into()))
        );
        assert_eq!(Place::from_str("s3://b/k"), Ok(Place::Remote(remote("b", "k"))));
        assert!(Place::from_str("hf:///k").is_err());
        assert!(Remote::parse("http://b/k").is_err());
    }

    #[test]
    fn keys_that_urls_would_change_are_refused() {
        for key in ["", "..", "a/../b", "./a", "a/."] {
            assert!(check_key(key).is_err(), "{key}");
            assert!(remote("b", key).object().is_err(), "{key}");
        }
        for key in ["a", ".hidden", "a/..b", "a..b/c."] {
            assert!(check_key(key).is_ok(), "{key}");
        }
        assert!(check_key(&"k".repeat(1025)).is_err());
    }

    #[test]
    fn a_bucket_is_not_a_key() {
        assert_eq!(remote("b", "").whole_bucket(), Ok("b"));
        assert!(remote("b", "k").whole_bucket().is_err());
        assert_eq!(remote("b", "k").to_string(), "hf://b/k");
    }
}
