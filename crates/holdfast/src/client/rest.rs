//! The REST interface as the client verbs use it: `/v1`, JSON, the administrator's token.
//!
//! Answers are kept as JSON values and read by name: the client must go on working beside a node that says more than it
//! did (promise P9). Reads move on to the next endpoint when one does not answer; writes too, since each of them names
//! the state it wants rather than a change to it, `key create` excepted, which only moves on when nothing was sent.

use std::time::Duration;

use reqwest::{Client, Method, Response, Url};
use serde_json::Value;

use crate::client::connection::{RestArgs, chain, http};
use crate::failure::{Exit, Failure, State};

/// The REST side of a cluster.
pub struct Rest {
    http: Client,
    endpoints: Vec<Url>,
    token: String,
}

impl Rest {
    /// From the flags and the environment.
    pub fn from_args(args: &RestArgs) -> Result<Self, Failure> {
        Self::at(args, args.endpoints()?)
    }

    /// The same at other endpoints.
    pub fn at(args: &RestArgs, endpoints: Vec<Url>) -> Result<Self, Failure> {
        Ok(Self {
            http: http(&endpoints, args.ca_bundle.as_deref())?,
            endpoints,
            token: args.token()?,
        })
    }

    /// The node of this machine, whatever name its certificate has: who answers on loopback could read its keys from its disk.
    pub fn on_this_machine(args: &RestArgs) -> Result<Self, Failure> {
        let client = Client::builder()
            .no_proxy()
            .http1_only()
            .timeout(Duration::from_secs(10))
            .tls_certs_only([])
            .tls_danger_accept_invalid_certs(true);
        Ok(Self {
            http: client
                .build()
                .map_err(|error| Failure::new(format!("TLS could not be set up: {}", chain(&error)), "report this"))?,
            endpoints: args.endpoints()?,
            token: args.token()?,
        })
    }

    /// Reads a resource.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.send(Method::GET, path, query, None).await
    }

    /// Reads a resource that may be missing: none when the node says so with this code. A 404 that tells something else
    /// than a problem is an answer, as of a key that nobody has written.
    pub async fn get_unless(
        &self,
        code: &str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<Value>, Failure> {
        let response = self.reach(Method::GET, path, query, None).await?;
        let status = response.status();
        let answer = read(response).await;
        match (&answer, status.as_u16()) {
            (Ok(told), 404) if text(told, "status") == Some("success") => {}
            (Ok(told), 404) if text(told, "error") == Some(code) => return Ok(None),
            (told, status) if !(200..300).contains(&status) => {
                let told = told.as_ref().unwrap_or(&Value::Null);
                return Err(said(status, told, &path.join("/"), false));
            }
            _ => {}
        }
        answer.map(Some)
    }

    /// Changes a resource.
    pub async fn post(&self, path: &[&str], body: Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, &[], Some(Body::json(&body))).await
    }

    /// Writes a resource whole.
    pub async fn put(&self, path: &[&str], bytes: Vec<u8>, kind: &'static str) -> Result<Value, Failure> {
        self.send(Method::PUT, path, &[], Some(Body { bytes, kind })).await
    }

    /// Removes a resource.
    pub async fn delete(&self, path: &[&str]) -> Result<Value, Failure> {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// Listens to server-sent events at a resource.
    pub async fn follow(&self, path: &[&str]) -> Result<Events, Failure> {
        let response = self.respond(Method::GET, path, &[], None).await?;
        Ok(Events {
            response,
            pending: Vec::new(),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Body>,
    ) -> Result<Value, Failure> {
        read(self.respond(method, path, query, body).await?).await
    }

    async fn respond(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Body>,
    ) -> Result<Response, Failure> {
        let writes = method != Method::GET;
        let response = self.reach(method, path, query, body).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refused(response, &path.join("/"), writes).await)
    }

    /// What the first endpoint answers that can be reached, whatever it is.
    async fn reach(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Body>,
    ) -> Result<Response, Failure> {
        let writes = method != Method::GET;
        let mut last = None;
        for endpoint in &self.endpoints {
            let mut request = self
                .http
                .request(method.clone(), address(endpoint, path, query))
                .bearer_auth(&self.token);
            if let Some(body) = &body {
                request = request.header("content-type", body.kind).body(body.bytes.clone());
            }
            match request.send().await {
                Ok(response) => return Ok(response),
                Err(error) => {
                    let sent = !error.is_connect();
                    last = Some(unreachable_node(endpoint, &error, writes && sent));
                    if writes && sent {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| Failure::usage("no REST endpoint is known", "give --rest-endpoint URL")))
    }
}

/// What is sent along.
struct Body {
    bytes: Vec<u8>,
    kind: &'static str,
}

impl Body {
    fn json(value: &Value) -> Self {
        Self {
            bytes: value.to_string().into_bytes(),
            kind: "application/json",
        }
    }
}

/// Server-sent events as they come.
pub struct Events {
    response: Response,
    /// What came since the last whole line.
    pending: Vec<u8>,
}

/// A line of events is far shorter than this.
const EVENT_BYTES_MAX: usize = 1 << 20;

impl Events {
    /// The next event; `None` when the node has no more to tell.
    pub async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let data = line.strip_prefix(b"data: ");
                if let Some(event) = data.and_then(|data| serde_json::from_slice(data).ok()) {
                    return Ok(Some(event));
                }
            }
            if self.pending.len() > EVENT_BYTES_MAX {
                return Err(Failure::new(
                    "what comes are no events",
                    "check that --rest-endpoint is the REST port of a node",
                ));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.pending.extend_from_slice(&bytes),
                Ok(None) => return Ok(None),
                Err(error) => {
                    let advice = "run it again; it goes on with what happens then";
                    return Err(Failure::new(format!("the node went away: {}", chain(&error)), advice));
                }
            }
        }
    }
}

/// A number in an answer; absent counts as zero.
pub fn number(answer: &Value, name: &str) -> u64 {
    answer.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// A text in an answer.
pub fn text<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    answer.get(name).and_then(Value::as_str)
}

/// A list in an answer.
pub fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The URL of a resource.
pub fn address(endpoint: &Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = endpoint.clone();
    // Only URLs like `mailto:` have no path segments, and those were refused when the endpoint was parsed.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push("v1").extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// The JSON of an answer.
pub async fn read(response: Response) -> Result<Value, Failure> {
    let bytes = response.bytes().await.map_err(|error| unreadable(&chain(&error)))?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(why: &str) -> Failure {
    Failure::new(
        format!("the answer could not be read: {why}"),
        "check that the endpoint is that of the REST port of a Holdfast node (9001, not the S3 port)",
    )
    .state(State::Unknown)
}

/// A connection that could not be made or broke, in words.
pub fn unreachable_node(endpoint: &Url, error: &reqwest::Error, may_have_happened: bool) -> Failure {
    Failure::new(
        format!(
            "no node could be reached: {} ({})",
            endpoint.as_str().trim_end_matches('/'),
            chain(error)
        ),
        "check that the cluster runs (`holdfast dev status`) and that the endpoint is right",
    )
    .exit(Exit::Unavailable)
    .state(if may_have_happened {
        State::Unknown
    } else {
        State::Unchanged
    })
}

/// An answer that is no success, in words.
pub async fn refused(response: Response, what: &str, writes: bool) -> Failure {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap_or_default();
    said(status, &serde_json::from_slice(&body).unwrap_or_default(), what, writes)
}

/// The node says itself what happened, what to do, and whether anything changed; the rest is for what is not a node, and
/// for advice that would send the reader of a command line to the REST interface.
fn said(status: u16, answer: &Value, what: &str, writes: bool) -> Failure {
    let message = text(answer, "message").map_or_else(|| format!("{what}: status {status}"), str::to_owned);
    let state = match answer.get("state_changed") {
        Some(Value::Bool(false)) => State::Unchanged,
        _ if writes && status >= 500 => State::Unknown,
        _ => State::Unchanged,
    };
    let (ours, exit) = match status {
        401 | 403 => ("check HOLDFAST_ADMIN_TOKEN", Exit::Denied),
        404 => (
            "check the name; `holdfast ls` and `holdfast key list` show what there is",
            Exit::NotFound,
        ),
        503 => (
            "see which nodes are down with `holdfast cluster status`, and try again",
            Exit::Unavailable,
        ),
        _ => ("see the node's log", Exit::Failed),
    };
    let is_about_rest = |advice: &str| {
        let code = text(answer, "error").unwrap_or_default();
        advice.contains("/v1/") || ["unauthorized", "denied"].contains(&code)
    };
    let theirs = text(answer, "what_to_do").filter(|advice| !is_about_rest(advice));
    Failure::new(message, theirs.unwrap_or(ours)).exit(exit).state(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_says_is_what_the_user_reads() {
        let answer = |error: &str, message: &str, what_to_do: &str| {
            serde_json::json!({
                "status": "failure", "error": error, "message": message, "what_to_do": what_to_do, "state_changed": false
            })
        };
        let shown = |status, answer: &Value| {
            let failure = said(status, answer, "keys", true);
            (failure.what, failure.advice, failure.exit, failure.state)
        };
        assert_eq!(
            shown(503, &answer("clock_refused", "the clocks differ", "set the clocks")),
            (
                "the clocks differ".to_owned(),
                "set the clocks".to_owned(),
                Exit::Unavailable,
                State::Unchanged
            )
        );
        let (what, advice, exit, _) = shown(409, &answer("root_key", "it stays", "it is set in the configuration"));
        assert_eq!(
            (what.as_str(), advice.as_str(), exit),
            ("it stays", "it is set in the configuration", Exit::Failed)
        );
        // Advice for those who speak REST is put into words of the command line.
        let (_, advice, ..) = shown(
            503,
            &answer("unavailable", "too few", "see GET /v1/cluster, and try again"),
        );
        assert!(advice.contains("holdfast cluster status"), "{advice}");
        let (what, advice, ..) = shown(403, &answer("denied", "this is not the admin token", "check the token"));
        assert_eq!(
            (what.as_str(), advice.as_str()),
            ("this is not the admin token", "check HOLDFAST_ADMIN_TOKEN")
        );
        // Something that is no node at all.
        let (what, advice, exit, state) = shown(502, &Value::Null);
        assert_eq!(
            (what.as_str(), advice.as_str(), exit, state),
            ("keys: status 502", "see the node's log", Exit::Failed, State::Unknown)
        );
    }

    #[test]
    fn addresses_escape_names() {
        let endpoint = Url::parse("http://127.0.0.1:9001").expect("a URL");
        assert_eq!(
            address(&endpoint, &["buckets", "a/b"], &[]).as_str(),
            "http://127.0.0.1:9001/v1/buckets/a%2Fb"
        );
        let url = address(&endpoint, &["locate"], &[("key", "a b&c")]);
        assert_eq!(url.query(), Some("key=a+b%26c"));
    }
}
