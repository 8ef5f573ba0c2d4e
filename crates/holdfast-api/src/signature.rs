//! SigV4 in the `Authorization` header, for what `s3s` does not do: requests of the REST port, and regions that `s3s`
//! takes for malformed.
//!
//! A small part of the scheme, as S3 uses it: paths encoded once, the payload's hash in `x-amz-content-sha256`. It is
//! what `curl --aws-sigv4 aws:amz:us-east-1:s3` sends. Source: "Create a signed AWS API request", AWS General
//! Reference.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::intake::hex;

/// How far clocks may differ.
const SKEW_S_MAX: u64 = 15 * 60;

/// SHA-256 of nothing.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What RFC 3986 leaves unencoded, and the slash.
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');
const QUERY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a signed request says of its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Payload {
    /// Nothing.
    Unsigned,
    /// Its SHA-256, which must be compared once the body is there.
    Sha256([u8; 32]),
    /// That it comes in signed chunks, or with trailers.
    Chunked,
}

/// Why a signature does not stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unverified {
    /// `x-amz-date` is missing or malformed.
    Date,
    /// Signed too long ago, or in the future.
    Skewed,
    /// The scope is of another day, or the host is not signed.
    Scope,
    /// The path is not UTF-8.
    Path,
    /// It is another signature.
    Mismatch,
}

impl std::fmt::Display for Unverified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Date => "the header x-amz-date is missing or not of the form 20260102T030405Z",
            Self::Skewed => "the request was signed more than 15 minutes from this node's time",
            Self::Scope => "the scope's date differs from x-amz-date, or host is not signed",
            Self::Path => "the path is not UTF-8",
            Self::Mismatch => "the signature does not match",
        })
    }
}

/// A parsed `Authorization` header.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    /// Whose key.
    pub(crate) key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    /// From the header's value.
    pub(crate) fn parse(value: &'a str) -> Option<Self> {
        let mut credential = None;
        let mut headers = None;
        let mut signature = None;
        for field in value.strip_prefix("AWS4-HMAC-SHA256")?.split(',') {
            let (name, value) = field.trim().split_once('=')?;
            match name {
                "Credential" => credential = Some(value),
                "SignedHeaders" => headers = Some(value.split(';').collect()),
                "Signature" => signature = Some(value),
                _ => {}
            }
        }
        let (key_id, scope) = credential?.split_once('/')?;
        let mut fields = scope.split('/');
        let (date, region, service) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next()? != "aws4_request" || fields.next().is_some() {
            return None;
        }
        Some(Self {
            key_id,
            date,
            region,
            service,
            headers: headers?,
            signature: signature?,
        })
    }

    /// Checks date and signature; tells what was signed of the body.
    pub(crate) fn verify(&self, request: &Parts, secret: &str) -> Result<Payload, Unverified> {
        let date = header(request, "x-amz-date").ok_or(Unverified::Date)?;
        let signed_s = unix_s(date).ok_or(Unverified::Date)?;
        let now_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        if signed_s.abs_diff(i64::try_from(now_s).unwrap_or(i64::MAX)) > SKEW_S_MAX {
            return Err(Unverified::Skewed);
        }
        if !date.starts_with(self.date) || !self.headers.contains(&"host") {
            return Err(Unverified::Scope);
        }
        let given = hex_simd::decode_to_vec(self.signature).unwrap_or_default();
        // Compares in constant time.
        let verified = self.mac(request, date, secret, self.region)?.verify_slice(&given);
        verified.map_err(|_| Unverified::Mismatch)?;
        Ok(payload_of(payload_header(request)))
    }

    /// The header's value had the client signed for another region.
    pub(crate) fn signed_for(&self, request: &Parts, secret: &str, region: &str) -> Result<String, Unverified> {
        let date = header(request, "x-amz-date").ok_or(Unverified::Date)?;
        let signature = self.mac(request, date, secret, region)?.finalize().into_bytes();
        Ok(format!(
            "AWS4-HMAC-SHA256 Credential={}/{}/{region}/{}/aws4_request, SignedHeaders={}, Signature={}",
            self.key_id,
            self.date,
            self.service,
            self.headers.join(";"),
            hex(&signature)
        ))
    }

    fn mac(&self, request: &Parts, date: &str, secret: &str, region: &str) -> Result<Hmac<Sha256>, Unverified> {
        let canonical = self.canonical(request, payload_header(request))?;
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{date}\n{}/{region}/{}/aws4_request\n{}",
            self.date,
            self.service,
            hex(Sha256::digest(canonical.as_bytes()).as_slice())
        );
        let key = signing_key(secret, self.date, region, self.service);
        Ok(hmac(&key, to_sign.as_bytes()))
    }

    fn canonical(&self, request: &Parts, payload: &str) -> Result<String, Unverified> {
        let path: Vec<u8> = percent_decode_str(request.uri.path()).collect();
        let path = String::from_utf8(path).map_err(|_| Unverified::Path)?;
        let path = utf8_percent_encode(&path, &PATH).to_string();
        let mut canonical = format!("{}\n{path}\n{}\n", request.method, canonical_query(request.uri.query()));
        for name in &self.headers {
            canonical.push_str(name);
            canonical.push(':');
            canonical.push_str(&canonical_header(request, name));
            canonical.push('\n');
        }
        canonical.push('\n');
        canonical.push_str(&self.headers.join(";"));
        canonical.push('\n');
        canonical.push_str(payload);
        Ok(canonical)
    }
}

/// The `Authorization` with which a client signs a request for the service `s3`. The request carries `host`, `x-amz-date` and
/// `x-amz-content-sha256`, which are what is signed.
///
/// # Errors
/// With what is missing or malformed.
pub fn authorization(request: &Parts, key_id: &str, secret: &str, region: &str) -> Result<String, String> {
    let date = header(request, "x-amz-date").ok_or(Unverified::Date);
    let date = date.and_then(|date| date.get(..8).ok_or(Unverified::Date));
    let signed = date.and_then(|date| {
        let signed = Signed {
            key_id,
            date,
            region,
            service: "s3",
            headers: vec!["host", "x-amz-content-sha256", "x-amz-date"],
            signature: "",
        };
        signed.signed_for(request, secret, region)
    });
    signed.map_err(|why| why.to_string())
}

/// What is needed to sign a link that reads one object.
pub(crate) struct Presigned<'a> {
    /// `http://host:port`.
    pub(crate) endpoint: &'a str,
    /// `/bucket/key`, not encoded.
    pub(crate) path: &'a str,
    pub(crate) region: &'a str,
    pub(crate) key_id: &'a str,
    pub(crate) secret: &'a str,
    /// `20260102T030405Z`.
    pub(crate) date: &'a str,
    pub(crate) expires_s: u64,
}

/// A link with the signature in its query ("Authenticating requests: using query parameters", S3 API reference).
pub(crate) fn presigned(link: &Presigned<'_>) -> String {
    let endpoint = link.endpoint.trim_end_matches('/');
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    let day = link.date.get(..8).unwrap_or_default();
    let scope = format!("{day}/{}/s3/aws4_request", link.region);
    let path = utf8_percent_encode(link.path, &PATH);
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={}&X-Amz-SignedHeaders=host",
        utf8_percent_encode(&format!("{}/{scope}", link.key_id), &QUERY),
        link.date,
        link.expires_s
    );
    let canonical = format!("GET\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        link.date,
        hex(Sha256::digest(canonical.as_bytes()).as_slice())
    );
    let key = signing_key(link.secret, day, link.region, "s3");
    let signature = hmac(&key, to_sign.as_bytes()).finalize().into_bytes();
    format!("{endpoint}{path}?{query}&X-Amz-Signature={}", hex(&signature))
}

fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> Vec<u8> {
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day, region, service, "aws4_request"] {
        key = hmac(&key, part.as_bytes()).finalize().into_bytes().to_vec();
    }
    key
}

/// `20260102T030405Z` of Unix seconds.
pub(crate) fn date_text(unix_s: u64) -> String {
    let text = crate::rest::time_shown(unix_s.saturating_mul(1_000));
    // From 2026-01-02T03:04:05.678Z.
    let digits: String = text.chars().take(19).filter(|c| *c != '-' && *c != ':').collect();
    digits + "Z"
}

fn header<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

/// Clients that leave it out, as older curl does, sign the hash of an empty body; a body then does not verify.
fn payload_header(request: &Parts) -> &str {
    header(request, "x-amz-content-sha256").unwrap_or(EMPTY_SHA256)
}

fn payload_of(payload: &str) -> Payload {
    if payload == "UNSIGNED-PAYLOAD" {
        return Payload::Unsigned;
    }
    let hash = hex_simd::decode_to_vec(payload).ok();
    match hash.and_then(|hash| <[u8; 32]>::try_from(hash).ok()) {
        Some(hash) => Payload::Sha256(hash),
        None => Payload::Chunked,
    }
}

fn canonical_query(query: Option<&str>) -> String {
    let recoded = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encoding::percent_encode(&bytes, &QUERY).to_string()
    };
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (recoded(name), recoded(value))
        })
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn canonical_header(request: &Parts, name: &str) -> String {
    if name == "host" && !request.headers.contains_key("host") {
        // HTTP/2 says it elsewhere.
        return request.uri.authority().map_or_else(String::new, ToString::to_string);
    }
    header_values(&request.headers, name)
}

fn header_values(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| {
            let value = String::from_utf8_lossy(value.as_bytes());
            value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    values.join(",")
}

fn hmac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length; the fallback is never reached.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()));
    mac.update(message);
    mac
}

/// Unix seconds of `20260102T030405Z`.
fn unix_s(date: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| date.get(range)?.parse::<i64>().ok();
    let well_formed = date.len() == 16 && date.as_bytes()[8] == b'T' && date.ends_with('Z');
    let (year, month, day) = (digits(0..4)?, digits(4..6)?, digits(6..8)?);
    let (hour, minute, second) = (digits(9..11)?, digits(11..13)?, digits(13..15)?);
    if !well_formed || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }
    // Days since 1970, after Howard Hinnant's `days_from_civil`: March begins the year, so leap days come last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{Payload, Presigned, Signed, canonical_query, date_text, presigned, unix_s};

    #[test]
    fn dates_are_days_and_seconds() {
        assert_eq!(unix_s("19700101T000000Z"), Some(0));
        assert_eq!(unix_s("20130524T000000Z"), Some(1_369_353_600));
        assert_eq!(unix_s("20240229T235959Z"), Some(1_709_251_199));
        for date in [
            "20130524T000000",
            "2013-05-24T00:00",
            "20131324T000000Z",
            "üüüüüüüü",
            "",
        ] {
            assert_eq!(unix_s(date), None, "{date}");
        }
    }

    #[test]
    fn queries_are_sorted_and_recoded() {
        assert_eq!(canonical_query(Some("b=2&a=%2f&a&c=x+y")), "a=&a=%2F&b=2&c=x%2By");
        assert_eq!(canonical_query(None), "");
    }

    /// The example "GET Object" of the S3 documentation, with its published signature.
    #[test]
    fn the_published_example_verifies_but_for_its_age() {
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
                             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
                             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let request = Request::get("/test.txt")
            .header("host", "examplebucket.s3.amazonaws.com")
            .header("range", "bytes=0-9")
            .header("x-amz-content-sha256", empty)
            .header("x-amz-date", "20130524T000000Z");
        let (request, ()) = request.body(()).unwrap().into_parts();
        let signed = Signed::parse(authorization).unwrap();
        assert_eq!(signed.key_id, "AKIAIOSFODNN7EXAMPLE");
        assert!(
            signed
                .verify(&request, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
                .is_err(),
            "13 years old"
        );
        let canonical = signed.canonical(&request, empty).unwrap();
        assert_eq!(
            crate::intake::hex(<sha2::Sha256 as sha2::Digest>::digest(canonical.as_bytes()).as_slice()),
            "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
        );
        assert!(matches!(super::payload_of(empty), Payload::Sha256(_)));
        assert_eq!(
            super::payload_of("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            Payload::Chunked
        );
    }

    /// The example of a presigned URL in the S3 documentation, with its published signature.
    #[test]
    fn a_link_is_signed_as_published() {
        let url = presigned(&Presigned {
            endpoint: "https://examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            region: "us-east-1",
            key_id: "AKIAIOSFODNN7EXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            date: "20130524T000000Z",
            expires_s: 86_400,
        });
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z\
             &X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
        assert_eq!(date_text(1_369_353_600), "20130524T000000Z");
    }

    #[test]
    fn what_a_client_signs_is_what_a_node_verifies() {
        let request = Request::get("http://127.0.0.1:9001/v1/buckets/b/transfers/a%20b?from=0")
            .header("host", "127.0.0.1:9001")
            .header("x-amz-date", "20130524T000000Z")
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        let (request, ()) = request.body(()).unwrap().into_parts();
        let value = super::authorization(&request, "K", "secret", "us-east-1").unwrap();
        let signed = Signed::parse(&value).unwrap();
        assert_eq!(signed.key_id, "K");
        let again = signed.signed_for(&request, "secret", "us-east-1").unwrap();
        assert_eq!(value, again);
        assert_ne!(value, signed.signed_for(&request, "other", "us-east-1").unwrap());
        let (undated, ()) = Request::get("/").body(()).unwrap().into_parts();
        assert!(super::authorization(&undated, "K", "secret", "r").is_err());
    }

    #[test]
    fn headers_that_are_not_signatures_are_refused() {
        for value in [
            "",
            "Bearer x",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a/b, Signature=c",
        ] {
            assert!(Signed::parse(value).is_none(), "{value}");
        }
    }
}
