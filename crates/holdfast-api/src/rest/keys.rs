//! Access keys. Secrets are told once, when a key is created.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use holdfast_core::bucket::{AccessKey, KeyState, key_id};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::buckets::document;
use super::faults::{AnyConflict, BadRequest, NoSuchKey, ReadFaults, WriteFaults};
use super::shape::{Success, Told, one_of, time};
use crate::caller::Caller;
use crate::problem::{Answer, Problem};
use crate::request_id::secret_u128;

/// What a new key may be given
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// What people call it: at most 256 characters, none of them a control character
    #[serde(default)]
    #[schema(max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", example = "laptop")]
    name: String,
}

/// The access key in a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct WhichKey {
    /// Its id
    #[param(example = "HF7Q3XAMPLE0KEY01234")]
    id: String,
}

/// An access key, without its secret
#[derive(Serialize, ToSchema)]
pub(super) struct Key {
    access_key_id: String,
    /// What people call it
    name: String,
    #[schema(schema_with = states)]
    state: &'static str,
    /// The root key has none: nobody wrote the founding down
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, required = false, nullable = false)]
    created: Option<String>,
}

/// All access keys
#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    status: Success,
    keys: Vec<Key>,
}

/// An access key with its secret, which is told this once
#[derive(Serialize, ToSchema)]
pub(super) struct KeyCreated {
    status: Success,
    #[serde(flatten)]
    key: Key,
    secret_access_key: String,
}

/// An access key as it is now
#[derive(Serialize, ToSchema)]
pub(super) struct KeyChanged {
    status: Success,
    #[serde(flatten)]
    key: Key,
}

type By = axum::Extension<Caller>;

/// List access keys
///
/// For the admin token and the root key. Secrets are not told.
#[utoipa::path(
    get, path = "/v1/keys", operation_id = "list_keys", tag = "keys",
    responses((status = 200, description = "All keys that were not deleted", body = Keys), ReadFaults)
)]
pub(super) async fn list(State(app): App, axum::Extension(caller): By) -> Answer<Told<Keys>> {
    caller.must_manage_keys()?;
    let keys = app.objects.access_keys().await;
    let keys = keys.map_err(|fault| Problem::read(&fault))?;
    Ok(Told(Keys {
        status: Success::Success,
        keys: keys.iter().map(told).collect(),
    }))
}

/// Create an access key
///
/// For the admin token and the root key. The answer alone ever tells the secret.
#[utoipa::path(
    post, path = "/v1/keys", operation_id = "create_key", tag = "keys",
    request_body(content = Option<NewKey>, example = json!({"name": "laptop"})),
    responses((status = 201, description = "The key and its secret", body = KeyCreated), BadRequest, WriteFaults)
)]
pub(super) async fn create(State(app): App, axum::Extension(caller): By, body: Body) -> Answer {
    caller.must_manage_keys()?;
    let NewKey { name } = document(body).await?;
    if name.chars().count() > 256 || name.chars().any(char::is_control) {
        return Err(Problem::bad_request(
            "a key's name is text of at most 256 characters, none of them a control character",
            "choose another one",
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
    let answer = Told(KeyCreated {
        status: Success::Success,
        key: told(&key),
        secret_access_key: key.secret,
    });
    Ok((StatusCode::CREATED, answer).into_response())
}

/// Disable an access key
#[utoipa::path(
    post, path = "/v1/keys/{id}/disable", operation_id = "disable_key", tag = "keys", params(WhichKey),
    responses(
        (status = 200, description = "It is disabled", body = KeyChanged),
        NoSuchKey, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn disable(state: App, caller: By, id: Path<WhichKey>) -> Answer<Told<KeyChanged>> {
    change(state, caller, id, KeyState::Disabled).await
}

/// Enable an access key
#[utoipa::path(
    post, path = "/v1/keys/{id}/enable", operation_id = "enable_key", tag = "keys", params(WhichKey),
    responses(
        (status = 200, description = "It is enabled", body = KeyChanged),
        NoSuchKey, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn enable(state: App, caller: By, id: Path<WhichKey>) -> Answer<Told<KeyChanged>> {
    change(state, caller, id, KeyState::Enabled).await
}

/// Delete an access key
#[utoipa::path(
    delete, path = "/v1/keys/{id}", operation_id = "delete_key", tag = "keys", params(WhichKey),
    responses(
        (status = 200, description = "It is deleted", body = KeyChanged),
        NoSuchKey, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn delete(state: App, caller: By, id: Path<WhichKey>) -> Answer<Told<KeyChanged>> {
    change(state, caller, id, KeyState::Deleted).await
}

async fn change(
    State(app): App,
    axum::Extension(caller): By,
    Path(WhichKey { id }): Path<WhichKey>,
    state: KeyState,
) -> Answer<Told<KeyChanged>> {
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
    Ok(Told(KeyChanged {
        status: Success::Success,
        key: told(&key),
    }))
}

const ENABLED: &str = "enabled";
const DISABLED: &str = "disabled";
const DELETED: &str = "deleted";

fn states() -> Object {
    one_of([ENABLED, DISABLED, DELETED])
}

fn told(key: &AccessKey) -> Key {
    Key {
        access_key_id: key.id.clone(),
        name: key.name.clone(),
        state: match key.state {
            KeyState::Enabled => ENABLED,
            KeyState::Disabled => DISABLED,
            KeyState::Deleted => DELETED,
        },
        // The root key is as old as the cluster, whose age nobody wrote down: better no time than a wrong one.
        created: (key.created_ms != 0).then(|| time(key.created_ms)),
    }
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
        let shown = |key: &AccessKey| serde_json::to_value(told(key)).unwrap();
        assert_eq!(shown(&key).get("created"), None);
        key.created_ms = 1_767_323_045_678;
        assert_eq!(shown(&key)["created"], "2026-01-02T03:04:05.678Z");
    }

    #[test]
    fn secrets_have_the_length_that_clients_expect() {
        assert_eq!(new_secret().len(), 40);
        assert_ne!(new_secret(), new_secret());
    }
}
