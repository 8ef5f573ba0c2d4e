//! Everything that is known of a key, without its body.

use axum::extract::State;
use axum::response::IntoResponse;
use holdfast_core::request::WantedBodies;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::faults::{BadRequest, ReadFaults};
use super::object::{ReadOptions, with_context};
use super::place::{Known, Place};
use super::query::Query;
use super::shape::Told;
use super::upload::Target;
use crate::objects::GetObject;
use crate::problem::{Answer, Problem, ProblemTold};

/// What a 404 tells: of a key that there never was, its context all the same; of a bucket, that there is none
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = MissingKey)]
#[expect(dead_code, reason = "tells the schema alone: the answers are made of the two types")]
pub(super) enum Missing {
    Key(Known),
    Bucket(ProblemTold),
}

/// Look at a key
///
/// Everything that is known of it, also of one that was deleted, but no body.
#[utoipa::path(
    get, path = "/v1/buckets/{bucket}/meta/{*key}", operation_id = "key_info", tag = "objects",
    params(Target, ("r" = Option<u8>, Query, nullable = false, maximum = 255, description = "Ask so many copies instead of the bucket's `r`")),
    responses(
        (status = 200, description = "What is known, deletions included", body = Known,
            headers(("Holdfast-Context" = String, description = "What a write sends back to replace exactly these"))),
        (status = 404, description = "There never was such a key, or there is no such bucket", body = Missing),
        BadRequest, ReadFaults,
    )
)]
pub(super) async fn read(
    State(app): App,
    Target { bucket, key }: Target,
    Query(options): Query<ReadOptions>,
) -> Answer {
    let bucket = app.bucket(&bucket).await?;
    let get = GetObject {
        r: options.r,
        bodies: WantedBodies::None,
    };
    let got = app.objects.get(&bucket, &key, get).await;
    let got = got.map_err(|fault| Problem::read(&fault))?;
    let place = Place {
        objects: &*app.objects,
        bucket: &bucket,
        key: &key,
    };
    let token = place.token(got.record.context());
    let status = if got.record.versions().is_empty() {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::OK
    };
    let answer = (status, Told(place.found(&got, &token))).into_response();
    Ok(with_context(answer, &token))
}
