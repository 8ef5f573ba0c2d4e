//! Query strings: axum's extractor, with what is wrong told as a problem like any other.

use axum::extract::{FromRequestParts, Query as Plain};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The options in a query string.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Plain::<T>::from_request_parts(parts, state).await {
            Ok(Plain(options)) => Ok(Self(options)),
            Err(rejection) => Err(Problem::bad_request(
                rejection.body_text(),
                "correct the query string; docs/rest.md lists what each request takes",
            )),
        }
    }
}
