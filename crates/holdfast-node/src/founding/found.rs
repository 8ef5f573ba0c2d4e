//! The founder: opens a founding, waits for its nodes, and founds; also the ways to found without a network.

use super::proof::SharedSecret;
use super::registrar::Registrar;
use super::registration::{About, NODES_MAX, Registration};
use super::state::{FoundingState, path_after, path_before};
use super::token::JoinToken;
use super::{Founding, FoundingError};
use crate::identity::authority::{generate_key, public_key};
use crate::identity::files;
use crate::identity::{Identity, IdentityError};
use crate::peer::{Bounds, Config, Greeting, Peers, Receiver, Strangers};
use bytes::Bytes;
use holdfast_core::ids::{ActorId, NodeId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, interval_at};
use tracing::info;

/// What a founder needs to know.
#[derive(Clone, Debug)]
pub struct FoundConfig {
    /// The node's data directory; must exist.
    pub data: PathBuf,
    /// How many nodes found the cluster, this one included.
    pub nodes: usize,
    /// This node.
    pub about: About,
    /// What all nodes were given beforehand, if they were. The token admits as well.
    pub secret: Option<SharedSecret>,
}

/// How often a founder says that it still waits.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// A node about to found a cluster. It resumes what was begun in its data directory.
#[derive(Debug)]
pub struct Founder {
    registrar: Arc<Registrar>,
    token: JoinToken,
}

impl Founder {
    /// Makes authority and token durable, or takes up those of an earlier start.
    pub fn open(config: FoundConfig) -> Result<Self, FoundingError> {
        let expected = u32::try_from(config.nodes).unwrap_or(u32::MAX);
        if config.nodes == 0 || config.nodes > NODES_MAX {
            return Err(FoundingError::Settings(format!(
                "a cluster is founded by 1 to {NODES_MAX} nodes"
            )));
        }
        config.about.check().map_err(FoundingError::Settings)?;
        if Identity::load(&config.data)?.is_some() {
            let problem = "this node belongs to a cluster already; start it without --found";
            return Err(FoundingError::Settings(problem.into()));
        }
        let path = path_before(&config.data);
        let state = if let Some(mut state) = FoundingState::load(&path)? {
            let registered = state.registrations.len();
            if expected < state.expected && config.nodes < registered {
                let problem = format!("{registered} nodes have registered already, more than --found {expected}");
                return Err(FoundingError::Settings(problem));
            }
            state.expected = expected;
            if let Some(founder) = state.registrations.first_mut() {
                founder.about = config.about;
            }
            info!(cluster = %state.cluster, registered, expected, "founding continues");
            state
        } else {
            FoundingState::begin(expected, config.about)?
        };
        state.save(&path)?;
        let token = state.token();
        Ok(Self {
            registrar: Registrar::new(config.data, state, config.secret.as_ref()),
            token,
        })
    }

    /// What the operator gives to the other nodes.
    #[must_use]
    pub fn token(&self) -> JoinToken {
        self.token
    }

    /// Certificate of the authority, for tests.
    #[cfg(test)]
    pub(super) fn authority(&self) -> Vec<u8> {
        self.registrar.state().authority.certificate().to_vec()
    }

    /// Takes registrations on the node port until all are there, asks `compose` what to hand out, and founds, unless
    /// it says why these nodes cannot be a cluster. The second part of the answer goes into `Config::strangers`, so that members whose answer was lost get it again.
    pub async fn run(
        self,
        listener: Arc<TcpListener>,
        compose: impl FnOnce(&[Registration]) -> Result<Vec<u8>, String>,
    ) -> Result<(Founding, Arc<dyn Strangers>), FoundingError> {
        let credentials = self.registrar.state().credentials()?;
        let listening = Config {
            credentials,
            actor: ActorId(0),
            boot: 0,
            format_levels: (0, 0),
            members: Vec::new(),
            bounds: Bounds::default(),
            strangers: Some(self.registrar.clone()),
            gateways: None,
        };
        // No member can be admitted yet, but the door with its bounds is the same.
        let door = Peers::start(listening, listener, Arc::new(Nobody))?;
        let mut reminder = interval_at(Instant::now() + SAY_EVERY, SAY_EVERY);
        loop {
            tokio::select! {
                () = self.registrar.all_registered() => break,
                _ = reminder.tick() => self.registrar.say_who_is_there(),
            }
        }
        drop(door);
        let founding = self.registrar.found(compose)?;
        Ok((founding, self.registrar))
    }
}

/// Founds a cluster of this node alone, without any network.
pub fn found_alone(
    data: &Path,
    about: About,
    compose: impl FnOnce(&[Registration]) -> Result<Vec<u8>, String>,
) -> Result<Founding, FoundingError> {
    let founder = Founder::open(FoundConfig {
        data: data.to_owned(),
        nodes: 1,
        about,
        secret: None,
    })?;
    founder.registrar.found(compose)
}

/// Founds a cluster of nodes whose data directories are all at hand, without any network: for tests and for trying out.
/// The first is the founder.
pub fn found_together(
    nodes: Vec<(PathBuf, About)>,
    compose: impl FnOnce(&[Registration]) -> Result<Vec<u8>, String>,
) -> Result<Vec<Founding>, FoundingError> {
    let count = nodes.len();
    let mut nodes = nodes.into_iter();
    let Some((data, about)) = nodes.next() else {
        return Err(FoundingError::Settings("a cluster needs a node".into()));
    };
    let founder = Founder::open(FoundConfig {
        data,
        nodes: count,
        about,
        secret: None,
    })?;
    let mut others = Vec::new();
    for (data, about) in nodes {
        let key = generate_key()?;
        let public_key = public_key(&key)?;
        founder.registrar.state().add(public_key, about)?;
        others.push((data, key));
    }
    let first = founder.registrar.found(compose)?;
    let mut founded = vec![first.clone()];
    let state = founder.registrar.state();
    for ((data, key), member) in others.into_iter().zip(first.members.iter().skip(1)) {
        let identity = state.identity(member, key, &first.identity.layout)?;
        identity.create(&data, &[])?;
        founded.push(Founding {
            identity,
            members: first.members.clone(),
        });
    }
    Ok(founded)
}

/// On the founder, after a restart: who answers members whose answer was lost, by token or by the secret that all were given.
/// `None` on every other node.
pub fn late_answers(data: &Path, secret: Option<&SharedSecret>) -> Result<Option<Arc<dyn Strangers>>, FoundingError> {
    let Some(state) = FoundingState::load(&path_after(data))? else {
        return Ok(None);
    };
    // Left if the founder was killed right after founding; it holds secrets and says nothing new.
    let before = path_before(data);
    files::remove_file(&before).map_err(|error| IdentityError::io(&before, &error))?;
    Ok(Some(Registrar::new(data.to_owned(), state, secret)))
}

/// Before founding there is nobody to talk to.
struct Nobody;

impl Receiver for Nobody {
    fn message(&self, _: NodeId, _: Bytes, _: Bytes) {}
    fn up(&self, _: &Greeting) {}
    fn down(&self, _: NodeId) {}
}
