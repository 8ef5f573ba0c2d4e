//! Nodes in the shell: `connect`, `members`, `events`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::session::{Said, Session, name, names};
use crate::client::cluster::{self, sentence_of};
use crate::client::connection::{RestArgs, S3Args};
use crate::client::rest::{Rest, list, text};
use crate::failure::{Exit, Failure};

/// Talks to one node from now on. Nothing changes when it cannot be reached.
pub async fn connect(session: &mut Session, address: &str) -> Result<Said, Failure> {
    let url = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let rest = RestArgs {
        rest_endpoint: Some(url.clone()),
        ..session.rest.clone()
    };
    let view = Rest::from_args(&rest)?.get(&["cluster"], &[]).await;
    let view = view.map_err(no_node)?;
    let node = view.get("node").cloned().unwrap_or_default();
    let members = list(&view, "members");
    let own = members
        .iter()
        .find(|member| member.get("self").and_then(Value::as_bool) == Some(true));
    session.rest = rest;
    if let Some(s3) = own.and_then(|own| text(own, "s3")).filter(|s3| !s3.is_empty()) {
        session.s3 = S3Args {
            endpoint: Some(with_scheme(s3, &url)),
            ..session.s3.clone()
        };
    }
    session.node = Some(name(&node).to_owned());
    let (id, role) = (text(&node, "id").unwrap_or("?"), text(&view, "role").unwrap_or("node"));
    let text = format!(
        "connected to {} (id {id}), a {role} of a cluster of {}: {}",
        name(&node),
        members.len(),
        names(members)
    );
    let members: Vec<Value> = members.iter().map(brief).collect();
    let value = json!({ "connected": node, "role": role, "members": members });
    Ok(Said { text, value })
}

/// What answers, but not as a node does, is most often a node's other port.
fn no_node(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Failed | Exit::NotFound => Failure {
            advice: "check that the address is that of the REST port of a node (9001, not the S3 port 9000)".to_owned(),
            ..failure
        },
        _ => failure,
    }
}

/// Who a member is, without how it is.
pub fn brief(member: &Value) -> Value {
    let field = |field| member.get(field).cloned().unwrap_or_default();
    json!({ "id": field("id"), "name": field("name"), "address": field("address"), "rest": field("rest"), "up": field("up") })
}

/// What a member advertises may be a URL, or only host and port: then it is served as the rest is.
fn with_scheme(address: &str, like: &str) -> String {
    match like.split_once("://") {
        Some((scheme, _)) if !address.contains("://") => format!("{scheme}://{address}"),
        _ => address.to_owned(),
    }
}

pub async fn members(session: &Session) -> Result<(), Failure> {
    session.rest()?;
    cluster::members(&session.rest, session.is_json()).await
}

/// Tells what the node sees for so many seconds.
pub async fn events(session: &Session, seconds: u64) -> Result<(), Failure> {
    let mut events = session.rest()?.follow(&["cluster", "events"]).await?;
    // A century is long enough for anybody, and not too far for a clock.
    let until = Instant::now() + Duration::from_secs(seconds.min(100 * 365 * 24 * 3600));
    while let Ok(event) = timeout_at(until, events.next()).await {
        let Some(event) = event? else { break };
        session.print(Said {
            text: sentence_of(&event),
            value: event,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::fake;

    #[tokio::test]
    async fn connecting_says_what_it_reached_and_moves_objects_there_too() {
        let view = json!({
            "status": "success", "node": {"id": "0a", "name": "node-1"},
            "members": [
                {"id": "0a", "name": "node-1", "self": true, "s3": "10.0.0.1:9000"},
                {"id": "0b", "name": "node-2", "self": false, "s3": "10.0.0.2:9000"},
            ],
        });
        let server = fake::Server::start(vec![("/v1/cluster", 200, view)]).await;
        let mut session = fake::session(None);
        let said = connect(&mut session, &server.address).await.expect("reached");
        assert_eq!(
            said.text,
            "connected to node-1 (id 0a), a node of a cluster of 2: node-1, node-2"
        );
        assert_eq!(session.place(), "node-1/shell");
        assert_eq!(session.s3.endpoint.as_deref(), Some("http://10.0.0.1:9000"));
        let asked = server.asked();
        assert!(
            asked[0].contains("authorization: Bearer token of the tests"),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn what_is_no_node_is_told() {
        let server = fake::Server::start(vec![]).await;
        let mut session = fake::session(None);
        let failure = connect(&mut session, &server.address).await.expect_err("no node");
        assert!(
            session.node.is_none() && failure.advice.contains("REST port"),
            "{failure}"
        );
    }

    #[test]
    fn addresses_take_the_scheme_of_the_node() {
        assert_eq!(with_scheme("a:1", "https://b:2"), "https://a:1");
        assert_eq!(with_scheme("http://a:1", "https://b:2"), "http://a:1");
    }
}
