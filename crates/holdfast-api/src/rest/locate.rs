//! Where a key lives: its position on the ring, and who holds it.

use axum::extract::{Path, State};
use holdfast_core::ids::Position;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::buckets::InBucket;
use super::faults::{BadRequest, NoSuchBucket, ReadFaults};
use super::query::Query;
use super::shape::{Names, Node, Success, Told};
use super::{App, Shared};
use crate::problem::{Answer, Problem};

/// Which key to locate.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Name of the bucket
    #[param(required, nullable = false, example = "photos")]
    bucket: Option<String>,
    /// The key
    #[param(required, nullable = false, example = "cat.jpg")]
    key: Option<String>,
}

/// Which key to locate in the bucket of the path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedKey {
    /// The key
    #[param(required, nullable = false, example = "cat.jpg")]
    key: Option<String>,
}

/// Where a key lives
#[derive(Serialize, ToSchema)]
pub(super) struct Located {
    status: Success,
    bucket: String,
    key: String,
    /// Its place on the ring, in hex
    position: String,
    /// The arc that holds it
    partition: u16,
    /// How many of the preference list are homes
    homes: u8,
    /// All members, best first
    preference_list: Vec<Node>,
}

/// Where a key lives
#[utoipa::path(
    get, path = "/v1/locate", operation_id = "locate", tag = "cluster", params(Asked),
    responses((status = 200, description = "There", body = Located), BadRequest, NoSuchBucket, ReadFaults)
)]
pub(super) async fn locate(State(app): App, Query(asked): Query<Asked>) -> Answer<Told<Located>> {
    let bucket = asked
        .bucket
        .ok_or_else(|| Problem::bad_request("bucket is missing", "say ?bucket=&key="))?;
    found(&app, &bucket, asked.key.as_deref()).await
}

/// Where a key of a bucket lives
#[utoipa::path(
    get, path = "/v1/buckets/{bucket}/locate", operation_id = "locate_in_bucket", tag = "cluster",
    params(InBucket, AskedKey),
    responses((status = 200, description = "There", body = Located), BadRequest, NoSuchBucket, ReadFaults)
)]
pub(super) async fn locate_in(
    State(app): App,
    Path(InBucket { bucket }): Path<InBucket>,
    Query(asked): Query<AskedKey>,
) -> Answer<Told<Located>> {
    found(&app, &bucket, asked.key.as_deref()).await
}

async fn found(app: &Shared, bucket: &str, key: Option<&str>) -> Answer<Told<Located>> {
    let (_, located) = located(app, bucket, key).await?;
    Ok(Told(located))
}

/// Where a key lives: its position, and what is told of it.
pub(super) async fn located(app: &Shared, bucket: &str, key: Option<&str>) -> Answer<(Position, Located)> {
    let key = key.ok_or_else(|| Problem::bad_request("key is missing", "say ?key="))?;
    let bucket = app.bucket(bucket).await?;
    let location = app.objects.locate(&bucket, key).await;
    let location = location.map_err(|fault| Problem::read(&fault))?;
    let told = Located {
        status: Success::Success,
        bucket: bucket.name.clone(),
        key: key.to_owned(),
        position: location.position.to_string(),
        partition: location.partition.0,
        homes: location.homes,
        preference_list: Names::of(&*app.objects).nodes(&location.preference_list),
    };
    Ok((location.position, told))
}
