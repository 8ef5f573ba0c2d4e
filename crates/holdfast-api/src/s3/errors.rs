//! Failures of the cluster, and of bodies, in S3's words. The only table of its kind: handlers never choose a code for
//! a fault themselves.
//!
//! The rule behind it: what a retry may cure is 503, which SDKs retry with the same invocation id, so a retry carries
//! the same write on (rule D7). What a retry cannot cure is 4xx. A message says whether anything may have changed.

use holdfast_core::request::{ReadFault, StateChange, WriteError, WriteFault};
use s3s::{S3Error, S3ErrorCode, StdError, s3_error};

use crate::intake::IntakeError;
use crate::object_headers::HeadersRefused;
use crate::objects::DeleteBucketError;
use crate::serve::STALLED;

/// An error with a code that `s3s` does not list.
pub(crate) fn custom(code: &'static str, status: http::StatusCode, message: impl Into<String>) -> S3Error {
    let code: S3ErrorCode = match code.parse() {
        Ok(code) => code,
        Err(never) => match never {},
    };
    let mut error = S3Error::with_message(code, message.into());
    error.set_status_code(status);
    error
}

/// A write that failed.
pub(crate) fn write_error(error: &WriteError) -> S3Error {
    let outcome = match error.state {
        StateChange::Unchanged => "nothing was changed",
        StateChange::Unknown => "the write may still take effect",
    };
    match &error.fault {
        WriteFault::Unavailable { needed, reached, .. } => s3_error!(
            ServiceUnavailable,
            "{needed} copies are needed and {reached} homes of this key can be reached; {outcome}."
        ),
        WriteFault::TimedOut { needed, synced } => s3_error!(
            ServiceUnavailable,
            "{synced} of {needed} copies were confirmed in time; {outcome}. Please try again."
        ),
        WriteFault::TooManySiblings => s3_error!(
            OperationAborted,
            "The key has too many concurrent versions to add another; {outcome}."
        ),
        WriteFault::RequestIdReused => s3_error!(
            OperationAborted,
            "The invocation id of this request was used before for a different write; {outcome}."
        ),
        WriteFault::ClockRefused => s3_error!(
            ServiceUnavailable,
            "The clocks of the cluster's nodes differ too much; {outcome}."
        ),
        WriteFault::DiskFull => s3_error!(SlowDown, "The cluster has no space left for this key; {outcome}."),
        WriteFault::Damaged => s3_error!(
            InternalError,
            "The stored copy of this key is damaged and no other could be read; {outcome}."
        ),
        WriteFault::NoSuchUpload => no_such_upload(),
        WriteFault::CommitDeadlinePassed => s3_error!(
            RequestTimeout,
            "The body was stored too long ago to be committed; {outcome}. Please send it again."
        ),
        WriteFault::Overloaded => s3_error!(SlowDown, "Please reduce your request rate; {outcome}."),
    }
}

/// A read that failed.
pub(crate) fn read_fault(fault: &ReadFault) -> S3Error {
    match fault {
        ReadFault::Unavailable { needed, reached, .. } => s3_error!(
            ServiceUnavailable,
            "{needed} answers are needed and {reached} homes of this key can be reached."
        ),
        ReadFault::TimedOut { needed, answered } => s3_error!(
            ServiceUnavailable,
            "{answered} of {needed} answers came in time. Please try again."
        ),
        ReadFault::Damaged => s3_error!(
            InternalError,
            "Every copy of this object that can be reached is damaged."
        ),
        ReadFault::NoSuchUpload => no_such_upload(),
        ReadFault::Overloaded => s3_error!(SlowDown, "Please reduce your request rate."),
    }
}

/// A bucket that was not deleted.
pub(crate) fn delete_bucket_error(error: &DeleteBucketError) -> S3Error {
    match error {
        DeleteBucketError::NotEmpty => s3_error!(
            BucketNotEmpty,
            "The bucket you tried to delete is not empty: it holds objects or open multipart uploads."
        ),
        DeleteBucketError::Read(fault) => read_fault(fault),
        DeleteBucketError::Write(error) => write_error(error),
    }
}

/// A body that was not taken.
pub(crate) fn intake_error(error: &IntakeError<StdError>) -> S3Error {
    match error {
        IntakeError::Source(source) => body_error(source),
        IntakeError::TooShort | IntakeError::TooLong => s3_error!(
            IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length HTTP header."
        ),
        IntakeError::TooLarge => too_large(),
        IntakeError::Stalled => s3_error!(
            RequestTimeout,
            "Your socket connection to the server was not read from or written to within the timeout period."
        ),
        IntakeError::Write(error) => write_error(error),
        IntakeError::Stopping => s3_error!(ServiceUnavailable, "This node is shutting down; nothing was changed."),
    }
}

/// A copy whose source or target failed.
pub(crate) fn copy_error(error: &IntakeError<ReadFault>) -> S3Error {
    match error {
        IntakeError::Source(fault) => read_fault(fault),
        // The bytes come from the cluster: fewer or more of them than the version says is damage.
        IntakeError::TooShort | IntakeError::TooLong => read_fault(&ReadFault::Damaged),
        IntakeError::TooLarge => too_large(),
        IntakeError::Stalled => s3_error!(
            ServiceUnavailable,
            "Reading the source took too long; nothing was changed."
        ),
        IntakeError::Write(error) => write_error(error),
        IntakeError::Stopping => s3_error!(ServiceUnavailable, "This node is shutting down; nothing was changed."),
    }
}

/// A body whose source failed. `s3s` keeps the types of its stream errors to itself, so they are told apart by what
/// they print; `tests/it/bad_input.rs` fails should a new release print something else.
fn body_error(source: &StdError) -> S3Error {
    let told = source.to_string();
    if told.contains("Sha256Mismatch") {
        return custom(
            "XAmzContentSHA256Mismatch",
            http::StatusCode::BAD_REQUEST,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
    }
    if told.contains("SignatureMismatch") {
        return s3_error!(
            SignatureDoesNotMatch,
            "The signature of a chunk of the body does not match; nothing was stored."
        );
    }
    if told.contains(STALLED) {
        return s3_error!(
            RequestTimeout,
            "Your socket connection to the server was not read from or written to within the timeout period."
        );
    }
    if told.contains("ChunkTooLarge") {
        return s3_error!(
            InvalidRequest,
            "A signed chunk of the body is larger than this server takes."
        );
    }
    if told.contains("FormatError") || told.contains("TooLarge") || told.contains("TooManyTrailerHeaders") {
        return s3_error!(InvalidRequest, "The aws-chunked framing of the body is malformed.");
    }
    s3_error!(
        IncompleteBody,
        "The body ended before all of it had arrived; nothing was stored."
    )
}

/// Headers that cannot be kept.
pub(crate) fn headers_refused(refused: &HeadersRefused) -> S3Error {
    match refused {
        HeadersRefused::UserMetadataTooLarge | HeadersRefused::TooLarge => s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size."
        ),
        HeadersRefused::NotText(name) => {
            s3_error!(InvalidArgument, "The value of header {name} is not valid UTF-8.")
        }
    }
}

pub(crate) fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist.")
}

pub(crate) fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

pub(crate) fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might \
         have been aborted or completed."
    )
}

pub(crate) fn too_large() -> S3Error {
    s3_error!(
        EntityTooLarge,
        "Your proposed upload exceeds the maximum allowed object size."
    )
}

pub(crate) fn not_implemented(what: &str) -> S3Error {
    s3_error!(
        NotImplemented,
        "{what} is not implemented by this server; nothing was changed."
    )
}
