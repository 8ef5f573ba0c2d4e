//! The joining node: finds the founder, registers with it and waits until the cluster stands.
//!
//! Its key is durable before the founder first hears of it, and its identity before `join` answers; in between it may
//! be killed at any time and comes back as the same node. It waits for ever, for the founder as for a file: the other nodes may
//! be racked tomorrow. Who was tried and why each failed is said when it changes, and every half minute.

use super::admission::Admission;
use super::message::{ANSWER_BYTES_MAX, Founded, Message, receive};
use super::register::{Attempt, Joining, Registered, register, unexpected};
use super::registered_with::RegisteredWith;
use super::registration::About;
use super::seeds::{SeedAddress, Seeds};
use super::{Founding, FoundingError};
use crate::identity::authority::{fingerprint, generate_key, public_key};
use crate::identity::files::{self, PUBLIC, SECRET};
use crate::identity::{Identity, IdentityError, PRIVATE_KEY_TAG, from_pem, to_pem};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// Connect, TLS, proofs, registration and the founder's sync.
const REGISTER_WITHIN: Duration = Duration::from_secs(10);
/// An address that has not answered by then is not waited for: the next is tried beside it.
const NEXT_AFTER: Duration = Duration::from_millis(300);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// An operator who starts the founder last should not have to wait for the joiners.
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// How often the log says what is waited for although nothing changed.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// What a joining node needs to know.
#[derive(Clone, Debug)]
pub struct JoinConfig {
    /// The node's data directory; must exist.
    pub data: PathBuf,
    /// Where the founder may be.
    pub seeds: Seeds,
    /// From the founder's output, or given to all nodes alike.
    pub admission: Admission,
    /// This node. Its node port should listen already: members dial it as soon as the cluster stands.
    pub about: About,
}

/// Registers and waits until the cluster is founded. The identity is durable when this answers.
pub async fn join(config: JoinConfig) -> Result<Founding, FoundingError> {
    config.about.check().map_err(FoundingError::Settings)?;
    if Identity::load(&config.data)?.is_some() {
        let problem = "this node belongs to a cluster already; start it without --join";
        return Err(FoundingError::Settings(problem.into()));
    }
    let key_path = config.data.join("identity.joining");
    let key = load_or_make_key(&key_path)?;
    let public_key = public_key(&key)?;
    let mut waiting = Waiting::default();
    let mut backoff = BACKOFF_MIN;
    let (founded, with) = loop {
        let why = match config.admission.read() {
            Err(why) => why,
            Ok(pass) => {
                let joining = Joining {
                    about: config.about.clone(),
                    pass,
                    key: key.clone(),
                    public_key: public_key.clone(),
                };
                match attempt(&config, joining).await {
                    Ok(founded) => break founded,
                    Err(Attempt::Denied(error) | Attempt::Fatal(error)) => return Err(error),
                    Err(Attempt::Again(why)) => why,
                }
            }
        };
        waiting.say(&config.seeds, why);
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    };
    let identity = Identity {
        cluster: founded.cluster,
        node: founded.node,
        name: config.about.name,
        authority: founded.authority,
        authority_key: Some(founded.authority_key),
        certificate: founded.certificate,
        key,
        secret: founded.secret,
        layout: founded.payload,
    };
    identity.create(&config.data, &[(RegisteredWith::FILE, with.encode(), PUBLIC)])?;
    files::remove_file(&key_path).map_err(|error| IdentityError::io(&key_path, &error))?;
    info!(
        cluster = %identity.cluster, node = %identity.node, registered_with = %with,
        "this node is a member of a founded cluster"
    );
    Ok(Founding {
        identity,
        members: founded.members,
    })
}

fn load_or_make_key(path: &Path) -> Result<Vec<u8>, FoundingError> {
    match files::read_file(path).map_err(|error| IdentityError::io(path, &error))? {
        Some(bytes) => {
            let key = from_pem(PRIVATE_KEY_TAG, &bytes).map_err(|problem| IdentityError::damaged(path, problem))?;
            // Parsed here, where the path can be named.
            public_key(&key).map_err(|error| IdentityError::damaged(path, error.to_string()))?;
            Ok(key)
        }
        None => {
            let key = generate_key()?;
            files::write_file(path, &to_pem(PRIVATE_KEY_TAG, &key), SECRET)
                .map_err(|error| IdentityError::io(path, &error))?;
            Ok(key)
        }
    }
}

/// What was last said of why this node still waits.
struct Waiting {
    since: Instant,
    said: Option<(String, Instant)>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            said: None,
        }
    }
}

impl Waiting {
    fn say(&mut self, seeds: &Seeds, why: String) {
        let said = self.said.as_ref();
        if said.is_some_and(|(said, at)| *said == why && at.elapsed() < SAY_EVERY) {
            return;
        }
        warn!(%seeds, waited_s = self.since.elapsed().as_secs(), "not registered yet, trying again: {why}");
        self.said = Some((why, Instant::now()));
    }
}

/// One round over all seeds: from looking for the founder to the founding, if the connection lasts that long.
async fn attempt(config: &JoinConfig, joining: Joining) -> Result<(Box<Founded>, RegisteredWith), Attempt> {
    let (addresses, mut problems) = config.seeds.addresses(&config.about.node_address).await;
    let joining = Arc::new(joining);
    let registered = match register_anywhere(&joining, addresses).await {
        Ok(registered) => registered,
        Err(failed) => {
            let (mut denied, mut told) = (Vec::new(), Vec::new());
            for (address, attempt) in failed {
                told.push(format!("{address}: {attempt}"));
                match attempt {
                    Attempt::Fatal(error) => return Err(Attempt::Fatal(error)),
                    Attempt::Denied(error) => denied.push(error),
                    Attempt::Again(_) => {}
                }
            }
            // With a token at hand there is nothing to wait for once everybody has refused it.
            let nobody_left = problems.is_empty() && denied.len() == told.len();
            if let (true, false, Some(error)) = (nobody_left, config.admission.may_change(), denied.pop()) {
                return Err(Attempt::Denied(error));
            }
            told.append(&mut problems);
            return Err(Attempt::Again(told.join("; ")));
        }
    };
    let with = RegisteredWith {
        address: registered.at.seed.clone(),
        founder: registered.founder,
        name: registered.founder_name.clone(),
    };
    info!(
        node = %registered.node, with = %with, at = %registered.at.address, registered = registered.registered,
        expected = registered.expected, "registered; waiting for the other nodes"
    );
    let at = registered.at.clone();
    let founded = until_founded(registered, &joining)
        .await
        .map_err(|attempt| match attempt {
            Attempt::Again(why) => Attempt::Again(format!("{at}: registered, but {why}")),
            other => other,
        })?;
    Ok((founded, with))
}

/// Tries one address after the other, beside those that are slow. The first with which the node is on record counts.
async fn register_anywhere(
    joining: &Arc<Joining>,
    addresses: Vec<SeedAddress>,
) -> Result<Registered, Vec<(SeedAddress, Attempt)>> {
    let mut tries = JoinSet::new();
    let mut left = addresses.into_iter();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = left.next() {
            let joining = joining.clone();
            tries.spawn(async move {
                let registering = timeout(REGISTER_WITHIN, register(&joining, address.clone())).await;
                let late = || Attempt::Again(format!("no answer within {} s", REGISTER_WITHIN.as_secs()));
                (address, registering.unwrap_or_else(|_| Err(late())))
            });
        }
        // What still runs is given up with the set.
        match timeout(NEXT_AFTER, tries.join_next()).await {
            Ok(Some(Ok((_, Ok(registered))))) => return Ok(registered),
            Ok(Some(Ok((address, Err(attempt))))) => failed.push((address, attempt)),
            Ok(None) if left.len() == 0 => return Err(failed),
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    }
}

async fn until_founded(mut registered: Registered, joining: &Joining) -> Result<Box<Founded>, Attempt> {
    let answer = receive(&mut registered.reader, ANSWER_BYTES_MAX).await;
    let answer = answer.map_err(|error| Attempt::Again(format!("the connection ended: {error}")))?;
    // Kept open until here: its end would be the end of the registration's connection.
    drop(registered.writer);
    let Message::Founded(founded) = answer else {
        return Err(unexpected(answer));
    };
    // The founder is trusted, but a mistake of its must not become this node's identity.
    let is_listed = founded
        .members
        .iter()
        .any(|member| member.id == founded.node && member.public_key == joining.public_key);
    if founded.cluster != registered.cluster || fingerprint(&founded.authority) != registered.authority || !is_listed {
        return Err(Attempt::Fatal(FoundingError::Founder(
            "the founder's answer is not about this node and this cluster".into(),
        )));
    }
    Ok(founded)
}
