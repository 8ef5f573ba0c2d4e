//! The problems that an operation may answer, as the document tells them: one group for each cause, named in the
//! operation's own list of answers. `problem.rs` has the table by which they are made.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr};

/// A group of problems: a type to name in `responses(…)`, and the statuses it stands for.
macro_rules! groups {
    ($($(#[$meta:meta])* $group:ident { $($status:literal $what:literal,)+ })+) => {
        $(
            $(#[$meta])*
            pub(super) struct $group;

            impl IntoResponses for $group {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    [$(($status, $what)),+].into_iter().map(|(status, what)| (status.to_string(), problem(status, what).into())).collect()
                }
            }
        )+
    };
}

groups! {
    /// The request itself is wrong.
    BadRequest {
        400 "The request is wrong; nothing changed",
    }
    /// The request, or the body that came with it, is wrong.
    BodyFaults {
        400 "The request is wrong, or its body is not what it says; nothing was stored",
        408 "The body came too slowly; nothing was stored",
        413 "The body is larger than 5 GiB; nothing was stored",
        501 "A conditional write, or a body signed in chunks",
    }
    /// What the path names is not there.
    NoSuchBucket {
        404 "There is no such bucket",
    }
    /// What the path names is not there.
    NoSuchObject {
        404 "There is no such bucket or object",
    }
    /// What the path names is not there.
    NoSuchKey {
        404 "There is no such access key",
    }
    /// What the path or the query names is not there.
    NoSuchUpload {
        404 "There is no such bucket, or no open upload with this id",
    }
    /// What the path names is not there.
    NoSuchMember {
        404 "There is no such member",
    }
    /// What the grant is for is not there any more.
    NoSuchPart {
        404 "The bucket, the object or the upload that the grant is for is gone",
    }
    /// Grants and rings are made and read by nodes that hold the ring.
    NotThisNode {
        501 "This node cannot do this; ask another. Or: a body signed in chunks",
    }
    /// What is there stands in the way.
    AnyConflict {
        409 "What is there stands in the way",
    }
    /// A read that the cluster could not do.
    ReadFaults {
        500 "Every copy that can be reached is damaged",
        503 "Too few nodes can be reached, or too much is under way: try again",
    }
    /// A write that the cluster could not do, or of which nobody knows.
    WriteFaults {
        500 "The stored copy is damaged, and no other could be read",
        503 "Too few nodes can be reached, or too much is under way: `state_changed` says whether it may have happened",
        507 "A node has no space left",
    }
    /// The grant is missing, over, or for something else.
    NotGranted {
        401 "The request carries no grant",
        403 "The grant is forged, over, or for something else",
        431 "The headers are too large",
    }
    /// Whoever asks may not, or cannot be known; any request under `/v1` may be told so.
    Denied {
        401 "The request carries no Authorization",
        403 "The token, key or signature is wrong, or may not do this",
        431 "The headers are too large",
        501 "A body signed in chunks",
    }
}

fn problem(status: u16, what: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(what)
        .content("application/json", content);
    let response = match status {
        401 => response.header("WWW-Authenticate", text("How to ask")),
        503 | 507 => response.header("Retry-After", text("Seconds to wait before trying again")),
        _ => response,
    };
    response.build()
}

/// A header that holds text.
pub(super) fn text(what: &str) -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(Type::String));
    header.description = Some(what.to_owned());
    header
}
