//! What REST and gRPC say when something did not work: a code, what happened, what to do about it, and whether anything may
//! have changed. The only table from faults to statuses on this side; gRPC's words are made of it in [`crate::grpc`].

use axum::response::{IntoResponse, Response};
use holdfast_core::request::{ReadFault, StateChange, WriteError, WriteFault};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::intake::IntakeError;
use crate::object_headers::HeadersRefused;
use crate::objects::{DeleteBucketError, Role};
use crate::rest::{Told, one_of};

/// A request that was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) message: String,
    pub(crate) what_to_do: &'static str,
    /// `None` where nobody can know.
    pub(crate) state_changed: Option<bool>,
    pub(crate) down: Vec<String>,
}

/// What happened, what to do about it, and whether anything changed
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemTold {
    #[schema(schema_with = failure)]
    status: &'static str,
    /// What went wrong, in a word that stays the same
    #[schema(example = "unavailable")]
    error: &'static str,
    /// What went wrong, for people
    #[schema(example = "2 copies are needed and 1 homes can be reached")]
    message: String,
    /// What to do about it
    #[schema(example = "see which nodes are down with GET /v1/cluster, and try again")]
    what_to_do: &'static str,
    /// Whether anything changed; null when nobody can know: the write may still take effect
    state_changed: Option<bool>,
    /// Ids of the homes that could not be reached
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    down: Vec<String>,
}

const FAILURE: &str = "failure";

fn failure() -> Object {
    one_of([FAILURE])
}

pub(crate) type Answer<T = Response> = Result<T, Problem>;

const TRY_AGAIN: &str = "try again; with the same request id a retry carries the same write on";
const SEE_NODES: &str = "see which nodes are down with GET /v1/cluster, and try again";

impl Problem {
    /// One that changed nothing.
    pub(crate) fn new(
        status: StatusCode,
        error: &'static str,
        message: impl Into<String>,
        what_to_do: &'static str,
    ) -> Self {
        Self {
            status,
            error,
            message: message.into(),
            what_to_do,
            state_changed: Some(false),
            down: Vec::new(),
        }
    }

    /// The same of a write that may have changed something.
    pub(crate) fn with_unknown_state(mut self) -> Self {
        self.state_changed = None;
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>, what_to_do: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message, what_to_do)
    }

    pub(crate) fn no_such_bucket(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_bucket",
            format!("there is no bucket {name}"),
            "create it with PUT /v1/buckets/{name}",
        )
    }

    pub(crate) fn no_such_object(key: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_object",
            format!("there is no object {key}"),
            "list the bucket with GET /v1/buckets/{name}/objects",
        )
    }

    pub(crate) fn not_implemented(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "not_implemented",
            format!("{what} is not implemented"),
            "leave it out",
        )
    }

    /// Refuses what only a member of the cluster can do or tell.
    pub(crate) fn unless_node(role: Role, what: &str) -> Answer<()> {
        match role {
            Role::Node => Ok(()),
            Role::Gateway => Err(Self::new(
                StatusCode::NOT_IMPLEMENTED,
                "not_implemented",
                format!("a gateway has no {what}"),
                "ask a node of the cluster",
            )),
        }
    }

    pub(crate) fn write(error: &WriteError) -> Self {
        let mut problem = match &error.fault {
            WriteFault::Unavailable { needed, reached, down } => {
                let message = format!("{needed} copies are needed and {reached} homes can be reached");
                let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message, SEE_NODES);
                problem.down = down.iter().map(ToString::to_string).collect();
                problem
            }
            WriteFault::TimedOut { needed, synced } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "timed_out",
                format!("{synced} of {needed} copies were confirmed in time"),
                TRY_AGAIN,
            ),
            WriteFault::TooManySiblings => Self::new(
                StatusCode::CONFLICT,
                "too_many_siblings",
                "the key has too many concurrent versions to add another",
                "read it, and write with the context of that read",
            ),
            WriteFault::RequestIdReused => Self::new(
                StatusCode::CONFLICT,
                "request_id_reused",
                "the request id was used before for a different write",
                "draw a new id for each write",
            ),
            WriteFault::ClockRefused => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "clock_refused",
                "the clocks of the cluster's nodes differ too much",
                "set the clocks of all nodes, for instance with NTP",
            ),
            WriteFault::DiskFull => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "a node has no space left for this key",
                "delete objects or add capacity",
            ),
            WriteFault::Damaged => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "damaged",
                "the stored copy of this key is damaged and no other could be read",
                SEE_NODES,
            ),
            WriteFault::NoSuchUpload => Self::new(
                StatusCode::NOT_FOUND,
                "no_such_upload",
                "no open upload has this id",
                "begin a new one",
            ),
            WriteFault::CommitDeadlinePassed => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "commit_deadline_passed",
                "the body was stored too long ago to be committed",
                "send it again",
            ),
            WriteFault::Overloaded => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "too many requests are under way",
                "slow down and try again",
            ),
        };
        problem.state_changed = match error.state {
            StateChange::Unchanged => Some(false),
            StateChange::Unknown => None,
        };
        problem
    }

    pub(crate) fn read(fault: &ReadFault) -> Self {
        match fault {
            ReadFault::Unavailable { needed, reached, down } => {
                let message = format!("{needed} answers are needed and {reached} homes can be reached");
                let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message, SEE_NODES);
                problem.down = down.iter().map(ToString::to_string).collect();
                problem
            }
            ReadFault::TimedOut { needed, answered } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "timed_out",
                format!("{answered} of {needed} answers came in time"),
                "try again",
            ),
            ReadFault::Damaged => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "damaged",
                "every copy that can be reached is damaged",
                SEE_NODES,
            ),
            ReadFault::NoSuchUpload => Self::new(
                StatusCode::NOT_FOUND,
                "no_such_upload",
                "no upload has this id",
                "begin a new one",
            ),
            ReadFault::Overloaded => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "too many requests are under way",
                "slow down and try again",
            ),
        }
    }

    pub(crate) fn delete_bucket(error: &DeleteBucketError) -> Self {
        match error {
            DeleteBucketError::NotEmpty => Self::new(
                StatusCode::CONFLICT,
                "bucket_not_empty",
                "the bucket holds objects or open uploads",
                "delete its objects and abort its uploads first",
            ),
            DeleteBucketError::Read(fault) => Self::read(fault),
            DeleteBucketError::Write(error) => Self::write(error),
        }
    }

    pub(crate) fn intake<E: std::fmt::Display>(error: &IntakeError<E>) -> Self {
        match error {
            IntakeError::Source(source) => Self::bad_request(
                format!("the body did not arrive whole: {source}"),
                "send it again; nothing was stored",
            ),
            IntakeError::TooShort | IntakeError::TooLong => Self::bad_request(
                "the body is not as long as its Content-Length says",
                "send it again; nothing was stored",
            ),
            IntakeError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "one body may have 5 GiB at most",
                "use an S3 multipart upload for larger objects",
            ),
            IntakeError::Stalled => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "stalled",
                "no byte of the body came for too long",
                "send it again; nothing was stored",
            ),
            IntakeError::Write(error) => Self::write(error),
            IntakeError::Stopping => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                "this node is shutting down",
                "ask another node",
            ),
        }
    }

    pub(crate) fn headers(refused: &HeadersRefused) -> Self {
        let message = match refused {
            HeadersRefused::UserMetadataTooLarge => "the x-amz-meta-* headers exceed 2 KiB".to_owned(),
            HeadersRefused::TooLarge => "the headers to keep exceed 16 KiB".to_owned(),
            HeadersRefused::NotText(name) => format!("the value of header {name} is not UTF-8"),
        };
        Self::bad_request(message, "send less metadata, as text")
    }

    fn told(self) -> ProblemTold {
        ProblemTold {
            status: FAILURE,
            error: self.error,
            message: self.message,
            what_to_do: self.what_to_do,
            state_changed: self.state_changed,
            down: self.down,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut answer = (status, Told(self.told())).into_response();
        // Room may be made as well as load may pass.
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE
        ) {
            let headers = answer.headers_mut();
            headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            let headers = answer.headers_mut();
            headers.insert(
                http::header::WWW_AUTHENTICATE,
                http::HeaderValue::from_static("Bearer, AWS4-HMAC-SHA256"),
            );
        }
        answer
    }
}
