//! Access keys. Secrets are told once, when a key is created.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use holdfast_core::bucket::{AccessKey, KeyState, key_id};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::buckets::document;
use super::shape;
use crate::caller::Caller;
use crate::problem::{Answer, Problem};
use crate::request_id::secret_u128;

/// What a new key may be given.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    #[serde(default)]
    name: String,
}

type By = axum::Extension<Caller>;

pub(super) async fn list(State(app): App, axum::Extension(caller): By) -> Answer<Json<Value>> {
    caller.must_manage_keys()?;
    let keys = app.objects.access_keys().await;
    let keys = keys.map_err(|fault| Problem::read(&fault))?;
    let keys: Vec<Value> = keys.iter().map(told).collect();
    Ok(Json(json!({ "status": "success", "keys": keys })))
}

pub(super) async fn create(State(app): App, axum::Extension(caller): By, body: Body) -> Answer {
    caller.must_manage_keys()?;
    let NewKey { name } = document(body).await?;
    if name.len() > 256 || name.chars().any(char::is_control) {
        return Err(Problem::bad_request(
            "a key's name is text of at most 256 bytes",
            "choose a shorter one",
        ));
    }
    let key = AccessKey {
        id: key_id(secret_u128()),
        secret: new_secret(),
        name,
        created_ms: now_ms(),
        state: KeyState::Enabled,
    };
    let put = app.objects.put_access_key(key.clone()).await;
    put.map_err(|error| Problem::write(&error))?;
    let mut answer = told(&key);
    answer["status"] = json!("success");
    answer["secret_access_key"] = json!(key.secret);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) async fn disable(state: App, caller: By, id: Path<String>) -> Answer<Json<Value>> {
    change(state, caller, id, KeyState::Disabled).await
}

pub(super) async fn enable(state: App, caller: By, id: Path<String>) -> Answer<Json<Value>> {
    change(state, caller, id, KeyState::Enabled).await
}

pub(super) async fn delete(state: App, caller: By, id: Path<String>) -> Answer<Json<Value>> {
    change(state, caller, id, KeyState::Deleted).await
}

async fn change(
    State(app): App,
    axum::Extension(caller): By,
    Path(id): Path<String>,
    state: KeyState,
) -> Answer<Json<Value>> {
    caller.must_manage_keys()?;
    if app.root_key_id.as_deref() == Some(id.as_str()) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "root_key",
            "the root key cannot be turned off or deleted",
            "it is set in the configuration of the cluster",
        ));
    }
    let key = app.objects.access_key(&id).await;
    let key = key.map_err(|fault| Problem::read(&fault))?;
    let Some(mut key) = key.filter(|key| key.state != KeyState::Deleted) else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_key",
            format!("there is no access key {id}"),
            "list them with GET /v1/keys",
        ));
    };
    key.state = state;
    let put = app.objects.put_access_key(key.clone()).await;
    put.map_err(|error| Problem::write(&error))?;
    let mut answer = told(&key);
    answer["status"] = json!("success");
    Ok(Json(answer))
}

fn told(key: &AccessKey) -> Value {
    let state = match key.state {
        KeyState::Enabled => "enabled",
        KeyState::Disabled => "disabled",
        KeyState::Deleted => "deleted",
    };
    let mut told = json!({
        "access_key_id": key.id,
        "name": key.name,
        "state": state,
    });
    // The root key is as old as the cluster, whose age nobody wrote down: better no time than a wrong one.
    if key.created_ms != 0 {
        told["created"] = json!(shape::time(key.created_ms));
    }
    told
}

/// Forty characters of hex: 160 random bits.
fn new_secret() -> String {
    format!("{:032x}{:08x}", secret_u128(), secret_u128() >> 96)
}

fn now_ms() -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(elapsed.unwrap_or_default().as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use holdfast_core::bucket::{AccessKey, KeyState};

    use super::{new_secret, told};

    /// The root key was said to be from 1970.
    #[test]
    fn a_time_that_nobody_knows_is_left_out() {
        let mut key = AccessKey {
            id: "ROOT".to_owned(),
            secret: String::new(),
            name: "root".to_owned(),
            created_ms: 0,
            state: KeyState::Enabled,
        };
        assert_eq!(told(&key).get("created"), None);
        key.created_ms = 1_767_323_045_678;
        assert_eq!(told(&key)["created"], "2026-01-02T03:04:05.678Z");
    }

    #[test]
    fn secrets_have_the_length_that_clients_expect() {
        assert_eq!(new_secret().len(), 40);
        assert_ne!(new_secret(), new_secret());
    }
}
