//! Whether a node answers: `/health/ready` on its REST port.

use std::time::Duration;

use reqwest::{Client, Url};
use tokio::time::{Instant, sleep};

use crate::client::connection::http;
use crate::dev::node::Node;
use crate::dev::process::ProcessName;
use crate::dev::state::Cluster;
use crate::failure::{Exit, Failure, State};

/// How long a node may take until it is ready; recovery of a large directory is the longest.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks at a node that is starting.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Asks nodes whether they are ready.
pub struct Health {
    http: Client,
}

impl Health {
    /// For the nodes of a cluster.
    pub fn new(cluster: &Cluster) -> Result<Self, Failure> {
        let any = Url::parse(&cluster.rest_endpoint(&cluster.node(0)))
            .map_err(|error| Failure::new(format!("an endpoint is no URL: {error}"), "report this"))?;
        Ok(Self {
            http: http(&vec![any], cluster.ca_bundle().as_deref())?,
        })
    }

    /// Whether a node is ready; if not, what it says.
    pub async fn ask(&self, cluster: &Cluster, node: &Node) -> Result<(), String> {
        let url = format!("{}/health/ready", cluster.rest_endpoint(node));
        let asked = self.http.get(url).timeout(Duration::from_secs(2)).send().await;
        match asked {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let said = answer.text().await.unwrap_or_default();
                Err(if said.trim().is_empty() {
                    "not ready".to_owned()
                } else {
                    said.trim().to_owned()
                })
            }
            Err(_) => Err("no answer".to_owned()),
        }
    }

    /// Waits until a node is ready, or its process has ended.
    pub async fn wait(&self, cluster: &Cluster, node: &Node, process: &ProcessName) -> Result<(), Failure> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            match self.ask(cluster, node).await {
                Ok(()) => return Ok(()),
                Err(_) if !process.runs(&node.config()) => return Err(ended(node)),
                Err(said) if Instant::now() > until => {
                    return Err(Failure::new(
                        format!(
                            "{} was not ready within {} s: {said}",
                            node.name(),
                            READY_WITHIN.as_secs()
                        ),
                        format!("see its log: {}", node.log().display()),
                    )
                    .exit(Exit::Unavailable)
                    .state(State::Partly("the nodes that were started run on".to_owned())));
                }
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// A node ended while it was being started; its own last words say why.
pub fn ended(node: &Node) -> Failure {
    let log = std::fs::read_to_string(node.log()).unwrap_or_default();
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    Failure::new(
        format!("{} ended while it was starting: {last}", node.name()),
        format!("see its log: {}", node.log().display()),
    )
}
