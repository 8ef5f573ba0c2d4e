//! Signs requests with AWS Signature Version 4 in headers, the payload's SHA-256 included, as the aws command line
//! does over plain HTTP.
//!
//! Source: "Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference; the test uses its
//! example. The day's signing key is cached: four of the five HMACs are the same for a whole day.

use aws_lc_rs::{digest, hmac};
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub struct Signer {
    access_key: String,
    secret_key: String,
    region: String,
    /// The day (yyyymmdd) and its key.
    cached: Option<(String, hmac::Key)>,
}

/// What is signed. Query names and values must be encoded and in order.
pub struct Unsigned<'a> {
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub payload_sha256: &'a str,
    /// A further signed header, whose name must sort before `x-amz`.
    pub more: Option<(&'a str, &'a str)>,
}

/// The headers that a signature adds.
pub struct Signature {
    pub date: String,
    pub authorization: String,
}

impl Signer {
    pub fn new(access_key: &str, secret_key: &str, region: &str) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            region: region.into(),
            cached: None,
        }
    }

    pub fn sign(&mut self, request: &Unsigned<'_>, now: SystemTime) -> Signature {
        let date = timestamp(now);
        let day = date[..8].to_owned();
        let mut headers = format!("host:{}\n", request.host);
        let mut names = String::from("host");
        if let Some((name, value)) = request.more {
            let _ = writeln!(headers, "{name}:{value}");
            let _ = write!(names, ";{name}");
        }
        let _ = write!(
            headers,
            "x-amz-content-sha256:{}\nx-amz-date:{date}\n",
            request.payload_sha256
        );
        names.push_str(";x-amz-content-sha256;x-amz-date");
        let Unsigned {
            method,
            path,
            query,
            payload_sha256,
            ..
        } = request;
        let canonical = format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload_sha256}");
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            sha256_hex(canonical.as_bytes())
        );
        let signature = hex(hmac::sign(self.key_of(&day), to_sign.as_bytes()).as_ref());
        let credential = format!("{}/{scope}", self.access_key);
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}");
        Signature { date, authorization }
    }

    fn key_of(&mut self, day: &str) -> &hmac::Key {
        let current = self.cached.take().filter(|(cached, _)| cached == day);
        let entry = current.unwrap_or_else(|| {
            let step = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
            let mut key = step(format!("AWS4{}", self.secret_key).as_bytes(), day);
            for text in [self.region.as_str(), "s3", "aws4_request"] {
                key = step(key.as_ref(), text);
            }
            (day.to_owned(), hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
        });
        &self.cached.insert(entry).1
    }
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

/// `yyyymmddThhmmssZ`. Days to dates by the method of Howard Hinnant's `civil_from_days`.
fn timestamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_example_of_the_reference_is_signed_alike() {
        let mut signer = Signer::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "us-east-1",
        );
        let request = Unsigned {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: "",
            payload_sha256: EMPTY_SHA256,
            more: Some(("range", "bytes=0-9")),
        };
        let at = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let signature = signer.sign(&request, at);
        assert_eq!(signature.date, "20130524T000000Z");
        let expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(
            signature.authorization.ends_with(expected),
            "{}",
            signature.authorization
        );
        // The second signature of a day comes from the cached key.
        assert_eq!(signer.sign(&request, at).authorization, signature.authorization);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_709_251_200, "20240301T000000Z"),
            (4_102_444_799, "20991231T235959Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn nothing_hashes_to_the_known_hash_of_nothing() {
        assert_eq!(sha256_hex(b""), EMPTY_SHA256);
    }
}
