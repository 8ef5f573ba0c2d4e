//! Keys and texts in the shell: `save`, `find`, `remove`, in the words of a Chord key-value shell.
//!
//! Weak: `save` looks first and writes then. Two shells that save one key at the same moment may both be told that they did;
//! conditional writes will settle it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::session::{DEFAULT_BUCKET, Said, Session, name, names};
use crate::client::place::Remote;
use crate::client::rest::{Rest, list, number, text};
use crate::failure::{Exit, Failure};

/// How long all homes are waited for, where fewer would do.
const ALL_HOMES_PATIENCE: Duration = Duration::from_secs(2);

/// More than there are homes: all of them are asked.
const ALL: &str = "255";

/// What all homes know of a key that has an object, or as many as a read asks when one is away; none when it has none, or there
/// is no such bucket.
pub async fn exists(rest: &Rest, place: &Remote) -> Result<Option<Value>, Failure> {
    let path = ["buckets", &place.bucket, "meta", &place.key];
    let all = rest.get_unless("no_such_bucket", &path, &[("r", ALL)]);
    let known = match timeout(ALL_HOMES_PATIENCE, all).await {
        Ok(Ok(known)) => known,
        Ok(Err(failure)) if failure.exit != Exit::Unavailable => return Err(failure),
        Ok(Err(_)) | Err(_) => rest.get_unless("no_such_bucket", &path, &[]).await?,
    };
    Ok(known.filter(|known| known.get("exists").and_then(Value::as_bool) == Some(true)))
}

/// Replicas that answered and know the key.
pub fn holders(known: &Value) -> Vec<Value> {
    let replicas = list(known, "clocks").iter();
    let holding = replicas.filter(|replica| !list(replica, "clock").is_empty());
    holding.filter_map(|replica| replica.get("node").cloned()).collect()
}

/// Keeps a text under a key that has none.
pub async fn save(session: &Session, key: &str, content: &str) -> Result<Said, Failure> {
    let place = session.object(key)?;
    let rest = session.rest()?;
    if let Some(known) = exists(&rest, &place).await? {
        let nodes = names(&holders(&known));
        return Err(Failure::new(
            format!("{key} exists already, in {nodes}"),
            format!("see it with: cat {key}; to save another text, first: remove {key}"),
        ));
    }
    let mut text = String::new();
    if place.bucket == DEFAULT_BUCKET && bucket_is_missing(&rest, &place.bucket).await? {
        rest.put(&["buckets", &place.bucket], Vec::new(), "application/json")
            .await?;
        text = format!("made bucket {}\n", place.bucket);
    }
    let path = ["buckets", &place.bucket, "objects", &place.key];
    let content = content.as_bytes().to_vec();
    let written = rest.put(&path, content, "text/plain; charset=utf-8").await?;
    text.push_str(&format!("saved in {}", names(&written_in(&written))));
    text.push_str(&left_out(&written));
    let value = json!({
        "saved": key, "bucket": place.bucket, "node": written["node"], "in": written_in(&written), "pending": written["pending"],
    });
    Ok(Said { text, value })
}

async fn bucket_is_missing(rest: &Rest, bucket: &str) -> Result<bool, Failure> {
    let found = rest.get_unless("no_such_bucket", &["buckets", bucket], &[]).await?;
    Ok(found.is_none())
}

/// Says who owns a key, and what is saved under it.
pub async fn find(session: &Session, key: &str) -> Result<Said, Failure> {
    let place = session.object(key)?;
    let rest = session.rest()?;
    let located = rest
        .get(&["locate"], &[("bucket", &place.bucket), ("key", key)])
        .await
        .map_err(|failure| no_bucket_yet(failure, &place))?;
    let known = exists(&rest, &place).await?;
    let preferred = list(&located, "preference_list");
    let homes = usize::try_from(number(&located, "homes"))
        .unwrap_or(0)
        .min(preferred.len());
    let owner = preferred.first().map_or("nobody", name);
    let saved = match &known {
        Some(known) => format!("saved in  {}", names(&holders(known))),
        None => "saved     no: nothing is kept under this key".to_owned(),
    };
    let text = format!(
        "{key} is owned by {owner}\nhomes     {}\nthen      {}\nposition  {}, partition {}\n{saved}",
        names(&preferred[..homes]),
        none_if_empty(names(&preferred[homes..])),
        text(&located, "position").unwrap_or("?"),
        number(&located, "partition"),
    );
    let value = json!({ "located": located, "exists": known.is_some(), "in": known.as_ref().map(holders) });
    Ok(Said { text, value })
}

/// Removes a key that is there.
pub async fn remove(session: &Session, key: &str) -> Result<Said, Failure> {
    let place = session.object(key)?;
    let rest = session.rest()?;
    if exists(&rest, &place).await?.is_none() {
        return Err(Failure::new(
            format!("there is no {key} in bucket {}", place.bucket),
            "nothing was there to remove; `ls` shows what there is",
        )
        .exit(Exit::NotFound));
    }
    let written = rest.delete(&["buckets", &place.bucket, "objects", &place.key]).await?;
    let text = format!("removed from {}{}", names(&written_in(&written)), left_out(&written));
    let value = json!({
        "removed": key, "bucket": place.bucket, "node": written["node"], "from": written_in(&written), "pending": written["pending"],
    });
    Ok(Said { text, value })
}

/// Homes that have a write, and stand-ins that have it for homes.
fn written_in(written: &Value) -> Vec<Value> {
    let mut nodes = list(written, "replicas_written").to_vec();
    nodes.extend(
        list(written, "hinted")
            .iter()
            .filter_map(|hint| hint.get("at").cloned()),
    );
    nodes
}

/// Homes that do not have a write yet.
fn left_out(written: &Value) -> String {
    let mut text = String::new();
    for (field, why) in [("pending", "still on its way to"), ("down", "down, and told later:")] {
        let nodes = list(written, field);
        if !nodes.is_empty() {
            text.push_str(&format!("; {why} {}", names(nodes)));
        }
    }
    text
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn no_bucket_yet(failure: Failure, place: &Remote) -> Failure {
    if failure.exit != Exit::NotFound {
        return failure;
    }
    let advice = if place.bucket == DEFAULT_BUCKET {
        "the first `save` makes it, or choose another with: use BUCKET".to_owned()
    } else {
        format!("make it with: mb {}", place.bucket)
    };
    Failure { advice, ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::fake;

    fn node(name: &str) -> Value {
        json!({ "id": format!("id-{name}"), "name": name })
    }

    fn known(exists: bool) -> Value {
        json!({"status": "success", "exists": exists, "clocks": [
            {"node": node("node-3"), "clock": [{"actor": "a", "life": "b", "tick": "c"}]},
        ]})
    }

    #[tokio::test]
    async fn saving_makes_the_default_bucket_and_names_the_nodes() {
        let missing = json!({"status": "failure", "error": "no_such_bucket", "message": "there is no bucket shell"});
        let written = json!({"status": "success", "node": node("node-1"),
            "replicas_written": [node("node-1")], "hinted": [{"for": node("node-2"), "at": node("node-4")}],
            "pending": [node("node-3")], "down": [node("node-2")]});
        let server = fake::Server::start(vec![
            ("/v1/buckets/shell/meta/a%2Fb", 404, missing.clone()),
            ("PUT /v1/buckets/shell ", 201, json!({"status": "success"})),
            ("/v1/buckets/shell/objects/a%2Fb", 201, written),
            ("/v1/buckets/shell ", 404, missing),
        ])
        .await;
        let session = fake::session(Some(&server));
        let said = save(&session, "a/b", "a text").await.expect("saved");
        assert_eq!(
            said.text,
            "made bucket shell\nsaved in node-1, node-4; still on its way to node-3; down, and told later: node-2"
        );
        let asked = server.asked();
        let put = asked.last().expect("asked");
        assert!(
            put.starts_with("PUT /v1/buckets/shell/objects/a%2Fb ") && put.ends_with("\r\n\r\na text"),
            "{put}"
        );
    }

    #[tokio::test]
    async fn a_key_that_exists_is_not_saved_over() {
        let away = json!({"status": "failure", "error": "unavailable", "message": "a home is away"});
        let server = fake::Server::start(vec![
            ("/v1/buckets/shell/meta/k?r=255", 503, away),
            ("/v1/buckets/shell/meta/k", 200, known(true)),
        ])
        .await;
        let session = fake::session(Some(&server));
        let failure = save(&session, "k", "v").await.expect_err("refused");
        assert_eq!(failure.what, "k exists already, in node-3");
        let asked = server.asked();
        assert!(
            asked.len() == 2 && asked.iter().all(|request| request.starts_with("GET ")),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn finding_names_the_owner_also_of_a_key_that_is_absent() {
        let located = json!({"status": "success", "position": "8f", "partition": 7, "homes": 2,
            "preference_list": [node("node-2"), node("node-3"), node("node-1")]});
        let server = fake::Server::start(vec![
            ("/v1/locate?bucket=shell&key=k", 200, located),
            ("/v1/buckets/shell/meta/k", 404, known(false)),
        ])
        .await;
        let said = find(&fake::session(Some(&server)), "k").await.expect("found");
        assert!(
            said.text
                .starts_with("k is owned by node-2\nhomes     node-2, node-3\nthen      node-1\n"),
            "{}",
            said.text
        );
        assert!(said.text.ends_with("nothing is kept under this key"), "{}", said.text);
    }

    #[tokio::test]
    async fn removing_what_is_absent_says_so() {
        let server = fake::Server::start(vec![("/v1/buckets/shell/meta/k", 404, known(false))]).await;
        let failure = remove(&fake::session(Some(&server)), "k").await.expect_err("absent");
        assert_eq!(
            (failure.exit, failure.what.as_str()),
            (Exit::NotFound, "there is no k in bucket shell")
        );
    }

    #[test]
    fn only_who_knows_a_key_holds_it() {
        let mut known = known(true);
        let empty = json!({"node": node("node-1"), "clock": []});
        known["clocks"].as_array_mut().expect("replicas").push(empty);
        assert_eq!(names(&holders(&known)), "node-3");
    }
}
