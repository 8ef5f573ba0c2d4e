//! Everything that is known of a key, without its body.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use holdfast_core::request::WantedBodies;
use http::StatusCode;

use super::App;
use super::object::{ReadOptions, with_context};
use super::query::Query;
use super::shape::Place;
use super::upload::Target;
use crate::objects::GetObject;
use crate::problem::{Answer, Problem};

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
    let answer = (status, Json(place.found(&got, &token))).into_response();
    Ok(with_context(answer, &token))
}
