//! What a client says of an object that it writes through REST or gRPC, and whether it is so: its key, its digests.

use holdfast_core::ids::KEY_BYTES_MAX;
use http::StatusCode;
use http::header::HeaderMap;

use crate::checksum::{ALGORITHMS, Algorithm};
use crate::intake::Received;
use crate::problem::Problem;

/// Refuses what cannot be a key.
pub(crate) fn check_key(key: &str) -> Result<(), Problem> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::bad_request(
            "a key has between 1 and 1024 bytes",
            "choose another key",
        ));
    }
    Ok(())
}

/// The checksum given in a header, if any.
pub(crate) fn declared(headers: &HeaderMap) -> Result<Option<(Algorithm, &str)>, Problem> {
    let mut found = None;
    for algorithm in ALGORITHMS {
        if let Some(value) = headers.get(algorithm.header()) {
            if found.is_some() {
                return Err(Problem::bad_request("several checksums are given", "give one"));
            }
            found = Some((algorithm, value.to_str().unwrap_or_default()));
        }
    }
    Ok(found)
}

/// Compares what arrived with the digests given.
pub(crate) fn verify(headers: &HeaderMap, received: &Received) -> Result<(), Problem> {
    let differs = |what: &str| {
        Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_digest",
            format!("the {what} given is not that of the body that arrived"),
            "send it again; nothing was stored",
        ))
    };
    if let Some(given) = headers.get("content-md5") {
        let ours = crate::checksum::base64(&received.md5);
        if given.as_bytes() != ours.as_bytes() {
            return differs("Content-MD5");
        }
    }
    match (declared(headers)?, received.checksum.as_deref()) {
        (Some((_, given)), Some(ours)) if given == ours => Ok(()),
        (Some((algorithm, _)), _) => differs(algorithm.header()),
        (None, _) => Ok(()),
    }
}
