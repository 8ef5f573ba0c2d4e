//! The checksum a client declares for a body: which, and where its value is.
//!
//! The value comes in a header, or in a trailer that is known only after the body; SDKs choose the trailer over TLS.
//! `s3s` parses both, but comparing is left to us (s3s #775): [`Declared::verify`] is that comparison, and nothing is
//! committed before it.

use http::HeaderMap;
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};

use super::errors::custom;
use crate::checksum::{ALGORITHMS, Algorithm, decode};
use crate::intake::Received;

/// Sets the field of a checksum in an output; every output of S3 has the same five.
macro_rules! set_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {
        match $algorithm {
            $crate::checksum::Algorithm::Crc32 => $output.checksum_crc32 = Some($value),
            $crate::checksum::Algorithm::Crc32c => $output.checksum_crc32c = Some($value),
            $crate::checksum::Algorithm::Crc64Nvme => $output.checksum_crc64nvme = Some($value),
            $crate::checksum::Algorithm::Sha1 => $output.checksum_sha1 = Some($value),
            $crate::checksum::Algorithm::Sha256 => $output.checksum_sha256 = Some($value),
        }
    };
}

/// The field of a checksum in an input.
macro_rules! given_checksum {
    ($input:expr, $algorithm:expr) => {
        match $algorithm {
            $crate::checksum::Algorithm::Crc32 => $input.checksum_crc32.as_deref(),
            $crate::checksum::Algorithm::Crc32c => $input.checksum_crc32c.as_deref(),
            $crate::checksum::Algorithm::Crc64Nvme => $input.checksum_crc64nvme.as_deref(),
            $crate::checksum::Algorithm::Sha1 => $input.checksum_sha1.as_deref(),
            $crate::checksum::Algorithm::Sha256 => $input.checksum_sha256.as_deref(),
        }
    };
}

pub(super) use {given_checksum, set_checksum};

/// What a client said of a body's integrity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Declared {
    /// The checksum to take.
    pub(super) algorithm: Option<Algorithm>,
    value: Value,
    content_md5: Option<[u8; 16]>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Value {
    /// Take it and keep it; nothing to compare with.
    Unknown,
    /// The value itself.
    Header(String),
    /// In the trailer of this name.
    Trailer(&'static str),
}

impl Declared {
    /// Nothing.
    pub(super) const fn nothing() -> Self {
        Self {
            algorithm: None,
            value: Value::Unknown,
            content_md5: None,
        }
    }

    /// What the headers of a put or of a part declare.
    pub(super) fn from_headers(headers: &HeaderMap) -> S3Result<Self> {
        let mut found = Self::nothing();
        for algorithm in ALGORITHMS {
            if let Some(value) = headers.get(algorithm.header()) {
                if found.algorithm.is_some() {
                    return Err(several());
                }
                let value = value.to_str().unwrap_or_default();
                if decode(algorithm, value).is_none() {
                    let header = algorithm.header();
                    return Err(s3_error!(InvalidRequest, "Value for {header} header is invalid."));
                }
                found.algorithm = Some(algorithm);
                found.value = Value::Header(value.to_owned());
            }
        }
        if let Some(algorithm) = trailer(headers)? {
            if found.algorithm.is_some() {
                return Err(several());
            }
            found.algorithm = Some(algorithm);
            found.value = Value::Trailer(algorithm.header());
        }
        if let Some(name) = headers.get("x-amz-sdk-checksum-algorithm") {
            let named = algorithm_named(name.to_str().unwrap_or_default())?;
            match found.algorithm {
                Some(algorithm) if algorithm != named => return Err(several()),
                _ => found.algorithm = Some(named),
            }
        }
        found.content_md5 = content_md5(headers)?;
        Ok(found)
    }

    /// Compares what arrived with what was declared.
    pub(super) fn verify(&self, received: &Received, trailers: Option<&TrailingHeaders>) -> S3Result<()> {
        if self.content_md5.is_some_and(|md5| md5 != received.md5) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received; nothing was stored."
            ));
        }
        let expected = match &self.value {
            Value::Unknown => return Ok(()),
            Value::Header(value) => Some(value.clone()),
            Value::Trailer(name) => trailers.and_then(|trailers| {
                trailers.read(|map| map.get(*name).and_then(|value| value.to_str().ok()).map(str::to_owned))?
            }),
        };
        let Some(expected) = expected else {
            return Err(custom(
                "MalformedTrailerError",
                http::StatusCode::BAD_REQUEST,
                "The request announced a checksum trailer that did not come; nothing was stored.",
            ));
        };
        if received.checksum.as_deref() == Some(expected.as_str()) {
            return Ok(());
        }
        let name = self.algorithm.map_or("", Algorithm::name);
        Err(s3_error!(
            BadDigest,
            "The {name} you specified did not match the calculated checksum; nothing was stored."
        ))
    }
}

/// The algorithm of this name.
pub(super) fn algorithm_named(name: &str) -> S3Result<Algorithm> {
    Algorithm::from_name(name).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, \
             CRC64NVME, SHA1, SHA256]"
        )
    })
}

/// `Content-MD5`, decoded.
pub(super) fn content_md5(headers: &HeaderMap) -> S3Result<Option<[u8; 16]>> {
    let Some(value) = headers.get("content-md5") else {
        return Ok(None);
    };
    let decoded = base64_simd::STANDARD.decode_to_vec(value.as_bytes()).ok();
    match decoded.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) {
        Some(md5) => Ok(Some(md5)),
        None => Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")),
    }
}

fn trailer(headers: &HeaderMap) -> S3Result<Option<Algorithm>> {
    let mut found = None;
    for value in headers.get_all("x-amz-trailer") {
        for name in value.to_str().unwrap_or_default().split(',') {
            if let Some(algorithm) = Algorithm::from_header(&name.trim().to_ascii_lowercase()) {
                if found.is_some() {
                    return Err(several());
                }
                found = Some(algorithm);
            }
        }
    }
    Ok(found)
}

fn several() -> S3Error {
    s3_error!(
        InvalidRequest,
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Declared, Value};
    use crate::checksum::Algorithm;

    fn declared(pairs: &[(&'static str, &str)]) -> Result<(Option<Algorithm>, Value), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        match Declared::from_headers(&headers) {
            Ok(declared) => Ok((declared.algorithm, declared.value)),
            Err(error) => Err(error.code().as_str().to_owned()),
        }
    }

    #[test]
    fn header_trailer_or_name_alone() {
        assert_eq!(declared(&[]), Ok((None, Value::Unknown)));
        assert_eq!(
            declared(&[("x-amz-checksum-crc32", "y/Q5Jg==")]),
            Ok((Some(Algorithm::Crc32), Value::Header("y/Q5Jg==".into())))
        );
        assert_eq!(
            declared(&[
                ("x-amz-trailer", "x-amz-checksum-crc64nvme"),
                ("x-amz-sdk-checksum-algorithm", "CRC64NVME")
            ]),
            Ok((Some(Algorithm::Crc64Nvme), Value::Trailer("x-amz-checksum-crc64nvme")))
        );
        assert_eq!(
            declared(&[("x-amz-sdk-checksum-algorithm", "sha256")]),
            Ok((Some(Algorithm::Sha256), Value::Unknown))
        );
    }

    #[test]
    fn contradictions_are_refused() {
        let invalid = Err("InvalidRequest".to_owned());
        assert_eq!(declared(&[("x-amz-checksum-crc32", "AAAA")]), invalid);
        assert_eq!(
            declared(&[
                ("x-amz-checksum-crc32", "y/Q5Jg=="),
                ("x-amz-checksum-crc32c", "y/Q5Jg==")
            ]),
            invalid
        );
        assert_eq!(
            declared(&[
                ("x-amz-checksum-crc32", "y/Q5Jg=="),
                ("x-amz-sdk-checksum-algorithm", "SHA1")
            ]),
            invalid
        );
        assert_eq!(declared(&[("x-amz-sdk-checksum-algorithm", "MD4")]), invalid);
        assert_eq!(declared(&[("content-md5", "short")]), Err("InvalidDigest".to_owned()));
    }
}
