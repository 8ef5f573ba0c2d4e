//! Direct transfers: bytes between a client and the nodes that hold them, after one question to any node.
//!
//! Any node answers where the chunks of an object are, and who should take the parts of an upload ([`plan`]), and hands out a
//! [`grant`] for each part. With it, and nothing else, the part is read from or sent to the nodes named ([`part`]).

mod grant;
pub(super) mod part;
pub(super) mod plan;

use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::objects::Objects;
use crate::problem::{Answer, Problem};
pub(super) use grant::Grant;
use grant::Void;

/// Where grants are used; whoever asks here needs no other claim, and no other claim counts.
pub(super) const PATH: &str = "/v1/transfers/";

/// The grant that a request carries.
pub(super) fn admit(objects: &dyn Objects, request: &Parts) -> Answer<Grant> {
    let text = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(text) = text.and_then(|text| text.strip_prefix("Grant ")) else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the request carries no grant",
            "send `Authorization: Grant <grant>`; GET and POST /v1/buckets/{bucket}/transfers/{key} give them",
        ));
    };
    Grant::open(objects, text.trim(), now_ms()).map_err(|void| match void {
        Void::Forged => denied("the grant was not made by this cluster, or not like this"),
        Void::Expired => Problem::new(
            StatusCode::FORBIDDEN,
            "grant_expired",
            "the time of the grant is over",
            "ask for a new one",
        ),
    })
}

/// A grant for something else.
fn denied(why: &str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "grant_refused",
        why,
        "ask for a grant for what you want to do, and send it unchanged",
    )
}

fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
