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
