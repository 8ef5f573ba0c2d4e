//! The web console: pages that show what REST tells, and nothing that REST does not.
//!
//! Server's side: its files ([`assets`]), signing in and out ([`sign_in`], [`session`]), who may use a session ([`guard`]), and
//! objects shown within pages ([`preview`]). Everything else the pages ask of `/v1` as everybody does. Their sources lie in
//! `console/` beside this crate's `src/`; docs/console.md tells how they are made.

mod assets;
mod guard;
mod preview;
mod session;
pub(crate) mod sign_in;

use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

pub(crate) use guard::{Claim, of_element, of_script};
pub(crate) use preview::{defuse, read as previewed};
pub(crate) use session::{Session, Sessions};

/// Every page of the console: scripts read the path.
pub(crate) async fn page(request: Request) -> Response {
    assets::page(request.headers())
}

/// A file of the console.
pub(crate) async fn file(Path((version, name)): Path<(String, String)>) -> Response {
    assets::file(&version, &name).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// Who opens the port in a browser wants the console.
pub(crate) async fn front_door() -> Redirect {
    Redirect::temporary("/console/")
}
