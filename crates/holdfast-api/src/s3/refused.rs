//! Headers that ask for what is not there yet. Each is answered `NotImplemented`: silently ignored, a lock or a
//! condition would be a promise broken (Garage answers 200 to `If-None-Match` and overwrites).
//!
//! What clients send by habit and what changes nothing here passes: `x-amz-acl: private`, `bucket-owner-full-control`,
//! `x-amz-storage-class: STANDARD`, `x-amz-request-payer`.

use http::HeaderMap;
use s3s::{S3Result, s3_error};

use super::errors::not_implemented;

/// Refused on every operation that carries them.
const ALWAYS: [&str; 18] = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-bypass-governance-retention",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-write-offset-bytes",
    "x-amz-mfa",
    "x-amz-expected-bucket-owner",
    "x-amz-source-expected-bucket-owner",
];

/// Refuses what no operation implements.
pub(super) fn always(headers: &HeaderMap) -> S3Result<()> {
    for name in headers.keys() {
        let name = name.as_str();
        // One comparison for most headers: only these two letters begin all the names above.
        if name.starts_with("x-amz-") && ALWAYS.contains(&name) {
            return Err(not_implemented(name));
        }
    }
    Ok(())
}

/// Refuses what a new object cannot have.
pub(super) fn on_write(headers: &HeaderMap) -> S3Result<()> {
    always(headers)?;
    if let Some(class) = headers.get("x-amz-storage-class")
        && class.as_bytes() != b"STANDARD"
    {
        return Err(s3_error!(
            NotImplemented,
            "Storage classes other than STANDARD are not implemented by this server; nothing was changed."
        ));
    }
    for name in ["x-amz-tagging", "x-amz-tagging-directive"] {
        if let Some(value) = headers.get(name)
            && !value.is_empty()
            && value.as_bytes() != b"COPY"
        {
            return Err(not_implemented(name));
        }
    }
    acl(headers)
}

/// Refuses conditional writes, which need a decision of all homes that does not exist yet.
pub(super) fn conditional(headers: &HeaderMap) -> S3Result<()> {
    for name in [
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "x-amz-if-match-last-modified-time",
        "x-amz-if-match-size",
    ] {
        if headers.contains_key(name) {
            return Err(not_implemented("A conditional write"));
        }
    }
    Ok(())
}

/// Accepts the canned ACLs that say what is the case anyway.
pub(super) fn acl(headers: &HeaderMap) -> S3Result<()> {
    match headers.get("x-amz-acl").map(http::HeaderValue::as_bytes) {
        None | Some(b"" | b"private" | b"bucket-owner-full-control" | b"bucket-owner-read") => Ok(()),
        Some(_) => Err(not_implemented("An ACL other than private")),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{ALWAYS, conditional, on_write};

    fn refused(name: &'static str, value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        on_write(&headers).is_err()
    }

    #[test]
    fn habits_pass_and_promises_do_not() {
        for (name, value) in [
            ("x-amz-acl", "private"),
            ("x-amz-acl", "bucket-owner-full-control"),
            ("x-amz-storage-class", "STANDARD"),
            ("x-amz-request-payer", "requester"),
            ("x-amz-tagging", ""),
            ("x-amz-meta-anything", "x"),
        ] {
            assert!(!refused(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("x-amz-acl", "public-read"),
            ("x-amz-storage-class", "GLACIER"),
            ("x-amz-tagging", "a=b"),
        ] {
            assert!(refused(name, value), "{name}: {value}");
        }
        assert!(ALWAYS.into_iter().all(|name| refused(name, "anything")));
    }

    #[test]
    fn conditions_on_writes_are_refused() {
        let mut headers = HeaderMap::new();
        assert!(conditional(&headers).is_ok());
        headers.insert("if-none-match", "*".parse().unwrap());
        assert!(conditional(&headers).is_err());
    }
}
