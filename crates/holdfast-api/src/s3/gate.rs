//! What is refused or amended before `s3s` sees a request.
//!
//! SigV2 is refused but for presigned URLs: `aws s3 presign` and boto3 make them with it, unasked, in `us-east-1`. Its
//! HMAC-SHA1 is no weaker there than the secrecy of the URL; an administrator may still turn it off.
//!
//! `s3s` takes SigV2, presigned URLs of any age, and requests with sub-resources it does not know, which it then treats
//! as plain puts and deletes: `DELETE /bucket?versioning` would delete the bucket.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::{S3Error, S3Result, s3_error};

use super::errors::{custom, not_implemented};

/// A presigned URL may live for seven days.
const EXPIRES_S_MAX: u64 = 7 * 24 * 3600;

/// Operations to which `s3s` sends whatever it has no other word for, and which change something.
const FALLBACKS: [&str; 7] = [
    "PutObject",
    "CopyObject",
    "UploadPart",
    "UploadPartCopy",
    "DeleteObject",
    "CreateBucket",
    "DeleteBucket",
];

/// Sub-resources of newer S3 that `s3s` would answer with a listing.
const UNKNOWN_OF_BUCKETS: [&str; 4] = [
    "abac",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
];

/// What the gate lets pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// Path, query and headers together.
    pub(super) header_bytes_max: usize,
    /// URLs presigned with SigV2, which the aws cli and boto3 still make by default in the region `us-east-1`.
    pub(super) presigned_v2: bool,
}

/// Refuses requests by their head alone, and lifts the `x-amz-*` parameters of a presigned URL into headers.
pub(super) fn check(request: &mut Parts, gate: Gate) -> S3Result<()> {
    if head_bytes(request) > gate.header_bytes_max {
        return Err(s3_error!(
            RequestHeaderSectionTooLarge,
            "Your request header section exceeds the maximum allowed request header section size."
        ));
    }
    if let Some(authorization) = request.headers.get(http::header::AUTHORIZATION)
        && authorization.as_bytes().starts_with(b"AWS ")
    {
        return Err(signature_v2());
    }
    ignore_odd_range(request);
    let Some(query) = request.uri.query() else {
        return Ok(());
    };
    let mut presigned = false;
    for (name, value) in pairs(query) {
        match name {
            "X-Amz-Signature" => presigned = true,
            "Signature" => check_v2(request, gate, query)?,
            "X-Amz-Expires" => check_expiry(value)?,
            _ => {}
        }
    }
    if presigned {
        let lifted = lifted_headers(query)?;
        for (name, value) in &lifted {
            if !request.headers.contains_key(name) {
                request.headers.insert(name, value.clone());
            }
        }
    }
    Ok(())
}

/// A range that is not one range of bytes is ignored, as RFC 9110 allows and AWS does; `s3s` would answer 400. It can
/// only be taken away where it was not signed, which is where odd ones come from: browsers with presigned URLs.
fn ignore_odd_range(request: &mut Parts) {
    let Some(range) = request.headers.get(http::header::RANGE) else {
        return;
    };
    let odd = range
        .to_str()
        .map_or(true, |range| s3s::dto::Range::parse(range).is_err());
    let authorization = request.headers.get(http::header::AUTHORIZATION);
    let signed = authorization
        .and_then(|value| value.to_str().ok())
        .or(request.uri.query())
        .and_then(|text| text.split_once("SignedHeaders="))
        .is_some_and(|(_, names)| {
            names
                .split([',', '&', ' '])
                .next()
                .is_some_and(|names| names.contains("range"))
        });
    if odd && !signed {
        request.headers.remove(http::header::RANGE);
    }
}

/// Refuses sub-resources that the operation found does not know. Asked once the operation is known.
pub(super) fn check_operation(operation: &str, query: Option<&str>) -> S3Result<()> {
    let Some(query) = query else { return Ok(()) };
    if FALLBACKS.contains(&operation) {
        // What carries a value is a parameter, and ignored when unknown, as AWS does.
        let unknown = pairs(query).find(|(name, value)| value.is_empty() && !name.is_empty());
        if let Some((name, _)) = unknown {
            return Err(not_implemented(&format!("The sub-resource {name} of this operation")));
        }
    }
    if operation == "ListObjects"
        && let Some((name, _)) = pairs(query).find(|(name, _)| UNKNOWN_OF_BUCKETS.contains(name))
    {
        return Err(not_implemented(&format!("The sub-resource {name}")));
    }
    Ok(())
}

fn head_bytes(request: &Parts) -> usize {
    let headers = request.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let uri = &request.uri;
    headers + uri.path().len() + uri.query().map_or(0, str::len)
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A URL presigned with SigV2: for reading and putting one object, for no longer than any other.
fn check_v2(request: &Parts, gate: Gate, query: &str) -> S3Result<()> {
    let simple = matches!(request.method, Method::GET | Method::HEAD | Method::PUT);
    if !gate.presigned_v2 || !simple {
        return Err(signature_v2());
    }
    let expires_s = pairs(query).find(|(name, _)| *name == "Expires");
    let expires_s = expires_s.and_then(|(_, value)| value.parse::<u64>().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_s = now.unwrap_or_default().as_secs();
    match expires_s {
        Some(expires_s) if expires_s <= now_s + EXPIRES_S_MAX => Ok(()),
        _ => Err(s3_error!(
            AccessDenied,
            "A presigned URL may be valid for seven days at most."
        )),
    }
}

fn check_expiry(value: &str) -> S3Result<()> {
    let refused = |message| {
        Err(custom(
            "AuthorizationQueryParametersError",
            StatusCode::BAD_REQUEST,
            message,
        ))
    };
    match value.parse::<u64>() {
        Err(_) => refused("X-Amz-Expires should be a number"),
        Ok(seconds) if seconds > EXPIRES_S_MAX => refused(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
        ),
        Ok(_) => Ok(()),
    }
}

/// Presigners put what would be headers into the query, where S3 takes them as such; checksums it ignores there, since
/// SDKs presign that of an empty body.
fn lifted_headers(query: &str) -> S3Result<HeaderMap> {
    const OF_THE_SIGNATURE: [&str; 8] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-sdk-checksum-algorithm",
    ];
    let mut lifted = HeaderMap::new();
    for (name, value) in pairs(query) {
        let name = name.to_ascii_lowercase();
        if !name.starts_with("x-amz-")
            || name.starts_with("x-amz-checksum-")
            || OF_THE_SIGNATURE.contains(&name.as_str())
        {
            continue;
        }
        let value: Vec<u8> = percent_decode_str(value).collect();
        let header = HeaderName::try_from(&name)
            .ok()
            .zip(HeaderValue::from_bytes(&value).ok());
        let Some((name, value)) = header else {
            return Err(s3_error!(
                InvalidArgument,
                "The query parameter {name} is not valid as a header."
            ));
        };
        lifted.append(name, value);
    }
    Ok(lifted)
}

/// For SigV2 in any form.
pub(super) fn signature_v2() -> S3Error {
    s3_error!(
        InvalidRequest,
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    )
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::{Gate, check, check_operation};

    fn code(uri: &str, headers: &[(&str, &str)]) -> Result<Parts, String> {
        code_with(uri, headers, true)
    }

    fn code_with(uri: &str, headers: &[(&str, &str)], presigned_v2: bool) -> Result<Parts, String> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut request, ()) = request.body(()).unwrap().into_parts();
        let gate = Gate {
            header_bytes_max: 1000,
            presigned_v2,
        };
        match check(&mut request, gate) {
            Ok(()) => Ok(request),
            Err(error) => Err(error.code().as_str().to_owned()),
        }
    }

    #[test]
    fn old_signatures_long_lives_and_large_heads_are_refused() {
        assert!(code("/b/k", &[("authorization", "AWS4-HMAC-SHA256 Credential=x")]).is_ok());
        assert_eq!(
            code("/b/k", &[("authorization", "AWS AK:sig")]).unwrap_err(),
            "InvalidRequest"
        );
        assert_eq!(
            code_with("/b/k?AWSAccessKeyId=a&Signature=b&Expires=1", &[], false).unwrap_err(),
            "InvalidRequest"
        );
        assert!(code("/b/k?AWSAccessKeyId=a&Signature=b&Expires=1", &[]).is_ok());
        for expires in ["9999999999", "soon", ""] {
            let uri = format!("/b/k?AWSAccessKeyId=a&Signature=b&Expires={expires}");
            assert_eq!(code(&uri, &[]).unwrap_err(), "AccessDenied");
        }
        assert!(code("/b/k?X-Amz-Expires=604800&X-Amz-Signature=s", &[]).is_ok());
        for expires in ["604801", "-1", "soon"] {
            assert_eq!(
                code(&format!("/b/k?X-Amz-Expires={expires}"), &[]).unwrap_err(),
                "AuthorizationQueryParametersError"
            );
        }
        let large = "x".repeat(1000);
        assert_eq!(
            code("/b/k", &[("x-amz-meta-a", &large)]).unwrap_err(),
            "RequestHeaderSectionTooLarge"
        );
    }

    #[test]
    fn presigned_parameters_become_headers_but_checksums_do_not() {
        let uri = "/b/k?X-Amz-Signature=s&x-amz-meta-a=%C3%BC&X-Amz-Acl=public-read&x-amz-checksum-crc32=AAAAAA%3D%3D";
        let request = code(uri, &[]).unwrap();
        assert_eq!(request.headers["x-amz-meta-a"].as_bytes(), "ü".as_bytes());
        assert_eq!(request.headers["x-amz-acl"], "public-read");
        assert!(!request.headers.contains_key("x-amz-checksum-crc32"));
        assert!(!request.headers.contains_key("x-amz-signature"));
        let plain = code("/b/k?x-amz-meta-a=1", &[]).unwrap();
        assert!(plain.headers.is_empty());
    }

    #[test]
    fn odd_ranges_are_ignored_where_that_is_possible() {
        let presigned = "/b/k?X-Amz-SignedHeaders=host&X-Amz-Signature=s";
        let kept = |uri: &str, range: &str| code(uri, &[("range", range)]).unwrap().headers.contains_key("range");
        assert!(kept(presigned, "bytes=0-4"));
        assert!(!kept(presigned, "bytes=0-4,6-9"));
        assert!(!kept(presigned, "lines=1-2"));
        assert!(kept(
            "/b/k?X-Amz-SignedHeaders=host%3Brange&X-Amz-Signature=s",
            "lines=1-2"
        ));
    }

    #[test]
    fn unknown_sub_resources_never_reach_a_put_or_delete() {
        let refused = |operation, query| check_operation(operation, Some(query)).is_err();
        assert!(refused("PutObject", "renameObject"));
        assert!(refused("PutObject", "uploads"));
        assert!(refused("DeleteBucket", "versioning="));
        assert!(!refused("PutObject", "x-id=PutObject"));
        assert!(!refused("UploadPart", "partNumber=1&uploadId=x"));
        assert!(!refused("DeleteObject", "versionId=null"));
        assert!(!refused("PutObjectAcl", "acl"));
        assert!(!refused("GetObject", "download"));
        assert!(!refused("ListObjects", "prefix&delimiter=/"));
        assert!(refused("ListObjects", "abac"));
    }
}
