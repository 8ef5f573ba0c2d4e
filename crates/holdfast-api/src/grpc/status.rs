//! Problems in gRPC's words: one of its codes, and what REST has in JSON as trailers.
//!
//! `holdfast-error` names the problem for programs, `holdfast-what-to-do` tells people, `holdfast-state-changed` is `false`,
//! or `unknown` when the write may still take effect. Plain text, so that every language reads it without another library;
//! that is why there are no `google.rpc` details.

use http::{HeaderMap, StatusCode};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::problem::Problem;

const STATUS: &str = "grpc-status";

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let code = code(&problem);
        with_code(problem, code)
    }
}

/// Of a call whose caller could not be verified. gRPC tells who is unknown from who may not.
pub(super) fn unverified(problem: Problem) -> Status {
    match problem.status {
        StatusCode::FORBIDDEN => with_code(problem, Code::Unauthenticated),
        _ => Status::from(problem),
    }
}

fn with_code(problem: Problem, code: Code) -> Status {
    let mut details = MetadataMap::new();
    details.insert("holdfast-error", MetadataValue::from_static(problem.error));
    insert(&mut details, "holdfast-what-to-do", what_to_do(&problem));
    let state = match problem.state_changed {
        Some(true) => "true",
        Some(false) => "false",
        None => "unknown",
    };
    details.insert("holdfast-state-changed", MetadataValue::from_static(state));
    if !problem.down.is_empty() {
        insert(&mut details, "holdfast-down", &problem.down.join(","));
    }
    Status::with_metadata(code, problem.message, details)
}

/// Adds a line to what is told beside a status; what cannot be said in ASCII is left out.
pub(super) fn insert(details: &mut MetadataMap, name: &'static str, text: &str) {
    if let Ok(value) = MetadataValue::<Ascii>::try_from(text) {
        details.insert(name, value);
    }
}

fn code(problem: &Problem) -> Code {
    match (problem.status, problem.error) {
        (_, "timed_out" | "deadline_passed") => Code::DeadlineExceeded,
        (_, "overloaded") => Code::ResourceExhausted,
        (_, "request_id_reused") => Code::AlreadyExists,
        (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE, _) => Code::InvalidArgument,
        (StatusCode::UNAUTHORIZED, _) => Code::Unauthenticated,
        (StatusCode::FORBIDDEN, _) => Code::PermissionDenied,
        (StatusCode::NOT_FOUND, _) => Code::NotFound,
        (StatusCode::REQUEST_TIMEOUT, _) => Code::Aborted,
        (StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED, _) => Code::FailedPrecondition,
        (StatusCode::RANGE_NOT_SATISFIABLE, _) => Code::OutOfRange,
        (StatusCode::INSUFFICIENT_STORAGE, _) => Code::ResourceExhausted,
        (StatusCode::NOT_IMPLEMENTED, _) => Code::Unimplemented,
        (StatusCode::SERVICE_UNAVAILABLE, _) => Code::Unavailable,
        (_, "damaged") => Code::DataLoss,
        _ => Code::Internal,
    }
}

/// REST's advice, where it does not name REST's resources.
fn what_to_do(problem: &Problem) -> &'static str {
    match problem.error {
        "unavailable" | "damaged" => "see which nodes are down with Cluster.View, and try again",
        "no_such_bucket" => "create it with Buckets.Create",
        "no_such_object" => "list the bucket with Objects.List",
        "unauthorized" => {
            "send the metadata `authorization: Bearer <admin token>`, or sign with an access key (SigV4, service s3)"
        }
        _ => problem.what_to_do,
    }
}

/// What HTTP would call the status that trailers tell, for log and metrics; nothing if they tell none.
pub(crate) fn in_trailers(trailers: &HeaderMap) -> Option<StatusCode> {
    let code = Code::from_bytes(trailers.get(STATUS)?.as_bytes());
    let status = match code {
        Code::Ok => 200,
        Code::InvalidArgument => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => 409,
        Code::OutOfRange => 416,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    };
    StatusCode::from_u16(status).ok()
}

/// The same of an answer's head. Until the trailers say otherwise, what was begun goes well.
pub(super) fn as_http(headers: &HeaderMap) -> StatusCode {
    in_trailers(headers).unwrap_or(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use holdfast_core::request::{StateChange, WriteError, WriteFault};
    use tonic::{Code, Status};

    use super::unverified;
    use crate::problem::Problem;

    #[test]
    fn a_problem_keeps_all_that_it_says() {
        let status = Status::from(Problem::write(&WriteError {
            state: StateChange::Unknown,
            fault: WriteFault::TimedOut { needed: 2, synced: 1 },
        }));
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.message(), "1 of 2 copies were confirmed in time");
        let told = |name: &str| status.metadata().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(told("holdfast-error"), "timed_out");
        assert_eq!(told("holdfast-state-changed"), "unknown");
        assert!(told("holdfast-what-to-do").contains("same request id"));
    }

    #[test]
    fn who_is_unknown_is_told_from_who_may_not() {
        let denied = || Problem::new(http::StatusCode::FORBIDDEN, "denied", "no", "ask");
        assert_eq!(unverified(denied()).code(), Code::Unauthenticated);
        assert_eq!(Status::from(denied()).code(), Code::PermissionDenied);
        assert_eq!(unverified(Problem::not_implemented("a")).code(), Code::Unimplemented);
    }

    #[test]
    fn log_and_metrics_hear_what_http_would_say() {
        let mut headers = http::HeaderMap::new();
        assert_eq!(super::as_http(&headers), 200);
        for (code, status) in [("0", 200), ("5", 404), ("14", 503), ("16", 401), ("x", 500)] {
            headers.insert("grpc-status", code.parse().unwrap());
            assert_eq!(super::as_http(&headers), status, "{code}");
        }
    }
}
