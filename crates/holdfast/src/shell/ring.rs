//! The ring in the shell: `get_info` and `path`, as the connected node's Chord table tells.

use serde_json::{Value, json};

use super::cluster::brief;
use super::session::{Said, Session, name, names};
use crate::client::print::table;
use crate::client::rest::{list, number, text};
use crate::failure::Failure;

/// What a node answers that has no Chord table to tell of.
const UNKNOWN: &str = "no_such_resource";

/// The connected node's table; all members, when none is connected or all are asked for.
pub async fn get_info(session: &Session, what: Option<&str>) -> Result<Said, Failure> {
    match what {
        Some("all") => members(session).await,
        None if session.node.is_none() => members(session).await,
        None => {
            let told = session.rest()?.get_unless(UNKNOWN, &["chord"], &[]).await?;
            let value = told.ok_or_else(older)?;
            Ok(Said {
                text: table_text(&value),
                value,
            })
        }
        Some(other) => Err(Failure::usage(
            format!("`{other}` is nothing to ask for"),
            "write: get_info, or: get_info all",
        )),
    }
}

async fn members(session: &Session) -> Result<Said, Failure> {
    let view = session.rest()?.get(&["cluster"], &[]).await?;
    let members = list(&view, "members");
    let mut rows = table(&["node", "name", "address", "rest", "state"]);
    for member in members {
        let shown = |field| text(member, field).unwrap_or("-").to_owned();
        rows.add(["id", "name", "address", "rest", "state"].map(shown));
    }
    let value = json!({ "members": members.iter().map(brief).collect::<Vec<_>>() });
    Ok(Said {
        text: rows.to_string(),
        value,
    })
}

/// How a lookup that begins at the connected node finds a key.
pub async fn path(session: &Session, key: &str) -> Result<Said, Failure> {
    let place = session.object(key)?;
    let query = [("bucket", place.bucket.as_str()), ("key", key)];
    let told = session
        .rest()?
        .get_unless(UNKNOWN, &["chord", "lookup"], &query)
        .await?;
    let value = told.ok_or_else(older)?;
    Ok(Said {
        text: path_text(key, &value),
        value,
    })
}

fn older() -> Failure {
    Failure::new(
        "this node does not tell its ring: it runs an older version",
        "connect to another node, or upgrade this one; `members` and `find` work all the same",
    )
}

/// A point of the ring and who is there.
fn point(entry: &Value) -> String {
    match entry {
        Value::Null => "-".to_owned(),
        entry => format!(
            "{} at {}",
            name(entry.get("node").unwrap_or(entry)),
            text(entry, "position").unwrap_or("?")
        ),
    }
}

fn table_text(told: &Value) -> String {
    let node = told.get("node").unwrap_or(&Value::Null);
    let successors = list(told, "successors").iter().map(point);
    let mut fingers = table(&["finger", "from", "node", "at"]);
    for finger in list(told, "fingers") {
        let at = |field| text(finger, field).unwrap_or("?").to_owned();
        let node = name(finger.get("node").unwrap_or(&Value::Null)).to_owned();
        fingers.add([
            format!("2^{}", number(finger, "power")),
            at("start"),
            node,
            at("position"),
        ]);
    }
    let mut lines = vec![
        format!("node         {} (id {})", name(node), text(node, "id").unwrap_or("?")),
        format!("position     {}", text(told, "position").unwrap_or("?")),
        format!(
            "predecessor  {}",
            point(told.get("predecessor").unwrap_or(&Value::Null))
        ),
    ];
    lines.extend(successors.enumerate().map(|(at, successor)| match at {
        0 => format!("successors   {successor}"),
        _ => format!("             {successor}"),
    }));
    lines.push(fingers.to_string());
    lines.join("\n")
}

fn path_text(key: &str, told: &Value) -> String {
    let mut lines = vec![format!("{key} lies at {}", text(told, "position").unwrap_or("?"))];
    let hops = list(told, "path").iter().enumerate();
    lines.extend(hops.map(|(hop, entry)| format!("hop {hop:<3}  {}", point(entry))));
    lines.push(match told.get("found") {
        None | Some(Value::Null) => "found    nobody: the lookup did not come through; try again".to_owned(),
        Some(found) => format!("found    {}", point(found)),
    });
    let timeouts = number(told, "timeouts");
    if timeouts > 0 {
        lines.push(format!("waited   in vain for {timeouts} nodes on the way"));
    }
    if let Some(location) = told.get("location").filter(|location| location.is_object()) {
        let preferred = list(location, "preference_list");
        let homes = usize::try_from(number(location, "homes"))
            .unwrap_or(0)
            .min(preferred.len());
        lines.push(format!("homes    {}", names(&preferred[..homes])));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::fake;

    fn at(name: &str, position: &str) -> Value {
        json!({ "node": { "id": format!("id-{name}"), "name": name }, "position": position })
    }

    fn connected(server: &fake::Server) -> Session {
        let mut session = fake::session(Some(server));
        session.node = Some("node-1".to_owned());
        session
    }

    #[tokio::test]
    async fn a_node_tells_its_place_and_fingers() {
        let mut told = at("node-1", "10");
        told["predecessor"] = Value::Null;
        told["successors"] = json!([at("node-2", "20"), at("node-3", "30")]);
        told["fingers"] =
            json!([{"power": 40, "start": "18", "node": {"id": "2", "name": "node-2"}, "position": "20"}]);
        let server = fake::Server::start(vec![("/v1/chord ", 200, told)]).await;
        let said = get_info(&connected(&server), None).await.expect("told");
        let lines: Vec<&str> = said.text.lines().collect();
        assert_eq!(
            lines[..5],
            [
                "node         node-1 (id id-node-1)",
                "position     10",
                "predecessor  -",
                "successors   node-2 at 20",
                "             node-3 at 30",
            ]
        );
        let finger: Vec<&str> = lines[6].split_whitespace().collect();
        assert_eq!(finger, ["2^40", "18", "node-2", "20"]);
    }

    #[tokio::test]
    async fn without_a_node_all_members_are_listed() {
        let view = json!({"members": [
            {"id": "0a", "name": "node-1", "address": "a:9002", "rest": "a:9001", "state": "up"},
            {"id": "0b", "name": "node-2", "address": "b:9002", "rest": "b:9001", "state": "down"},
        ]});
        let server = fake::Server::start(vec![("/v1/cluster", 200, view)]).await;
        for (session, what) in [(fake::session(Some(&server)), None), (connected(&server), Some("all"))] {
            let said = get_info(&session, what).await.expect("told");
            assert_eq!(said.text.lines().count(), 3);
            assert!(
                said.text.contains("0b") && said.text.contains("b:9002"),
                "{}",
                said.text
            );
        }
        assert!(get_info(&connected(&server), Some("some")).await.is_err());
    }

    #[tokio::test]
    async fn a_lookup_is_told_hop_by_hop() {
        let mut told = json!({
            "position": "2f", "path": [at("node-1", "10"), at("node-4", "28")], "timeouts": 1, "found": at("node-2", "30"),
            "location": {"homes": 1, "preference_list": [{"id": "2", "name": "node-2"}, {"id": "3", "name": "node-3"}]},
        });
        assert_eq!(
            path_text("k", &told),
            "k lies at 2f\nhop 0    node-1 at 10\nhop 1    node-4 at 28\nfound    node-2 at 30\n\
             waited   in vain for 1 nodes on the way\nhomes    node-2"
        );
        told["found"] = Value::Null;
        assert!(path_text("k", &told).contains("found    nobody"));
        let server = fake::Server::start(vec![("/v1/chord/lookup?bucket=shell&key=k", 200, told)]).await;
        assert!(path(&connected(&server), "k").await.is_ok());
    }

    #[tokio::test]
    async fn a_node_of_an_older_version_is_told_apart_from_a_missing_bucket() {
        let older =
            json!({"status": "failure", "error": "no_such_resource", "message": "there is nothing at this path"});
        let server = fake::Server::start(vec![("/v1/chord", 404, older)]).await;
        for failure in [
            get_info(&connected(&server), None).await.expect_err("older"),
            path(&connected(&server), "k").await.expect_err("older"),
        ] {
            assert_eq!(
                failure.what,
                "this node does not tell its ring: it runs an older version"
            );
        }
        let missing = json!({"status": "failure", "error": "no_such_bucket", "message": "there is no bucket shell"});
        let server = fake::Server::start(vec![("/v1/chord", 404, missing)]).await;
        let failure = path(&connected(&server), "k").await.expect_err("no bucket");
        assert_eq!(failure.what, "there is no bucket shell");
    }
}
