//! The whole cluster as it changes, in one stream of server-sent events: `view` every two seconds, `happened` for each event of
//! any node, `requests` for some of those that are answered.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::broadcast::error::RecvError;

use super::App;

/// After this much silence a line is sent that means nothing, so that a listener who went away is noticed.
const SILENCE: Duration = Duration::from_secs(15);

/// The whole cluster, as it changes
///
/// Server-sent events without an end. `event: view`, at once and every two seconds, holds a `View`. `event: past`, before all
/// others, holds an `Event` of the asked node's latest, and `event: happened` one of any node from then on. `event: requests`
/// holds a list of `Request`, some of those that were answered. `event: missed` holds the number of events that this listener
/// was too slow for. Lines that begin with `:` mean nothing; one comes after 15 seconds of silence.
#[utoipa::path(
    get, path = "/v1/cluster/stream", operation_id = "follow_cluster", tag = "cluster",
    responses((status = 200, description = "Lines, of which each `data:` holds what the `event:` before it says",
        body = String, content_type = "text/event-stream",
        example = "event: happened\ndata: {\"at\":\"2026-01-02T03:04:05.678Z\",\"event\":\"down\",\"member\":{\"id\":\"6f1c2b7a9d3e4f50\",\"name\":\"node-2\"},\"node\":{\"id\":\"1a2b3c4d5e6f7081\",\"name\":\"node-1\"}}\n\n"))
)]
pub(super) async fn follow(State(app): App) -> Response {
    let told = app.watch.told();
    let (past, frames) = told.listen();
    let now = format!("event: view\ndata: {}\n\n", told.view());
    let begin = past.into_iter().map(|frame| frame.to_string()).chain([now]);
    let begin: Vec<_> = begin.map(|frame| Ok::<_, Infallible>(Bytes::from(frame))).collect();
    let lines = stream::unfold(frames, |mut frames| async {
        let line = match tokio::time::timeout(SILENCE, frames.recv()).await {
            Ok(Ok(frame)) => frame.to_string(),
            Ok(Err(RecvError::Lagged(count))) => format!("event: missed\ndata: {count}\n\n"),
            Ok(Err(RecvError::Closed)) => return None,
            Err(_) => ": nothing happens\n\n".to_owned(),
        };
        Some((Ok::<_, Infallible>(Bytes::from(line)), frames))
    });
    let mut answer = Response::new(Body::from_stream(stream::iter(begin).chain(lines)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
