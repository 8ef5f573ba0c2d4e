//! What a shell knows between two lines: whom it talks to and in which bucket it works; and where each verb goes.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use super::verb::{self, Verb};
use super::words::Line;
use super::{buckets, cluster, objects, pairs, ring};
use crate::client::connection::{RestArgs, S3Args};
use crate::client::place::{Remote, check_key};
use crate::client::print::Printer;
use crate::client::rest::{Rest, text};
use crate::failure::Failure;

/// The bucket of a new shell, which `save` makes when it is first needed.
pub const DEFAULT_BUCKET: &str = "shell";

/// A shell between two lines.
pub struct Session {
    pub(super) s3: S3Args,
    pub(super) rest: RestArgs,
    pub(super) bucket: String,
    /// The node that `connect` reached.
    pub(super) node: Option<String>,
    json: bool,
}

/// Whether there is a next line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    GoOn,
    Quit,
}

/// What a verb has to say: to people, and to programs.
#[derive(Debug)]
pub struct Said {
    pub text: String,
    pub value: Value,
}

impl Session {
    /// A new shell, which talks to the endpoints given, if any.
    pub fn new(s3: S3Args, rest: RestArgs, json: bool) -> Self {
        Self {
            s3,
            rest,
            bucket: DEFAULT_BUCKET.to_owned(),
            node: None,
            json,
        }
    }

    /// Whether answers are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Node and bucket, for the prompt.
    pub fn place(&self) -> String {
        match &self.node {
            Some(node) => format!("{node}/{}", self.bucket),
            None => self.bucket.clone(),
        }
    }

    /// Does what a line says, and prints what there is to say.
    pub async fn run(&mut self, line: &str) -> Result<Next, Failure> {
        let line = Line::parse(line)?;
        let words = line.words();
        let Some((name, arguments)) = words.split_first() else {
            return Ok(Next::GoOn);
        };
        let entry = verb::find(name)?;
        entry.check(arguments.len())?;
        let first = arguments.first().copied().unwrap_or_default();
        let second = arguments.get(1).copied();
        let said = match entry.verb {
            Verb::Quit => return Ok(Next::Quit),
            Verb::Help => help(arguments.first().copied())?,
            Verb::Connect => cluster::connect(self, first).await?,
            Verb::GetInfo => ring::get_info(self, arguments.first().copied()).await?,
            Verb::Save => pairs::save(self, first, line.rest_from(2)).await?,
            Verb::Find => pairs::find(self, first).await?,
            Verb::Remove => pairs::remove(self, first).await?,
            Verb::Path => ring::path(self, first).await?,
            Verb::Use => buckets::switch(self, first).await?,
            Verb::Stat => objects::stat(self, first).await?,
            // These print as they go, as on the command line.
            Verb::Buckets => return buckets::list(self).await.map(|()| Next::GoOn),
            Verb::Mb => return buckets::make(self, first).await.map(|()| Next::GoOn),
            Verb::Rb => return buckets::remove(self, first).await.map(|()| Next::GoOn),
            Verb::Ls => return objects::list(self, first).await.map(|()| Next::GoOn),
            Verb::Put => return objects::put(self, first, second).await.map(|()| Next::GoOn),
            Verb::Update => return objects::update(self, first, second).await.map(|()| Next::GoOn),
            Verb::Get => return objects::get(self, first, second).await.map(|()| Next::GoOn),
            Verb::Cat => return objects::cat(self, first).await.map(|()| Next::GoOn),
            Verb::Rm => return objects::remove(self, arguments).await.map(|()| Next::GoOn),
            Verb::Members => return cluster::members(self).await.map(|()| Next::GoOn),
            Verb::Events => return cluster::events(self, second_count(first)?).await.map(|()| Next::GoOn),
        };
        self.print(said)?;
        Ok(Next::GoOn)
    }

    /// The REST side of whatever the shell talks to.
    pub(super) fn rest(&self) -> Result<Rest, Failure> {
        let given = [&self.rest.rest_endpoint, &self.rest.rest_endpoints];
        if given.into_iter().flatten().all(|text| text.trim().is_empty()) {
            return Err(Failure::usage(
                "the shell is connected to no node",
                "write: connect HOST:PORT (the REST port of a node, for example connect 127.0.0.1:9001)",
            ));
        }
        Rest::from_args(&self.rest)
    }

    /// A key of the current bucket.
    pub(super) fn object(&self, key: &str) -> Result<Remote, Failure> {
        check_key(key).map_err(|why| Failure::usage(format!("`{key}` is no key: {why}"), "choose another key"))?;
        Ok(Remote {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
        })
    }

    /// Ends a line that an object did not end, so that the prompt begins on one of its own.
    pub(super) fn end_line(&self) {
        let mut out = std::io::stdout();
        if out.is_terminal() {
            // Nobody is left to tell when the terminal is gone.
            let _ = out.write_all(b"\n");
        }
    }

    pub(super) fn print(&self, said: Said) -> Result<(), Failure> {
        let mut out = Printer::new(self.json);
        out.line(said.text, || said.value)?;
        out.finish()
    }
}

fn help(name: Option<&str>) -> Result<Said, Failure> {
    let text = verb::help(name)?;
    let value = json!({ "help": text });
    Ok(Said { text, value })
}

fn second_count(text: &str) -> Result<u64, Failure> {
    match text {
        "" => Ok(10),
        text => text
            .parse()
            .map_err(|_| Failure::usage(format!("`{text}` is no number of seconds"), "write: events 60")),
    }
}

/// A node in an answer as people call it.
pub fn name(node: &Value) -> &str {
    let named = |field| text(node, field).filter(|text| !text.is_empty());
    named("name").or_else(|| named("id")).unwrap_or("?")
}

/// Nodes in an answer as people call them.
pub fn names(nodes: &[Value]) -> String {
    nodes.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::fake;

    #[tokio::test]
    async fn mistakes_are_told_and_nothing_else_happens() {
        let mut session = fake::session(None);
        for (line, what) in [
            ("frobnicate", "no verb"),
            ("save onlykey", "needs more"),
            ("quit now", "no more"),
            ("save 'k", "not closed"),
            ("find k", "connected to no node"),
            ("events soon", "no number of seconds"),
            ("put a ../b", "no key"),
        ] {
            let failure = session.run(line).await.expect_err(line);
            assert!(failure.what.contains(what), "{line}: {}", failure.what);
        }
        assert_eq!(session.run("").await, Ok(Next::GoOn));
        assert_eq!(session.run("quit").await, Ok(Next::Quit));
        assert_eq!(session.place(), DEFAULT_BUCKET);
    }

    #[tokio::test]
    async fn a_node_that_is_away_and_a_wrong_token_are_told() {
        let mut session = fake::session(None);
        let failure = session.run("connect 127.0.0.1:1").await.expect_err("closed");
        assert!(failure.what.contains("no node could be reached"), "{}", failure.what);
        assert_eq!(session.place(), DEFAULT_BUCKET, "it is connected to nobody");
        let denied =
            json!({"status": "failure", "error": "denied", "message": "this is not the admin token of the cluster"});
        let server = fake::Server::start(vec![("/v1/cluster", 403, denied)]).await;
        let failure = session
            .run(&format!("connect {}", server.address))
            .await
            .expect_err("denied");
        assert_eq!(failure.exit, crate::failure::Exit::Denied);
    }
}
