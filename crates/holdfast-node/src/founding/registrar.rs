//! Serves nodes that register: has them prove that they know the secret, and proves it in turn; puts them on record, and answers
//! when the cluster stands.
//!
//! Files are written on the task that serves a registration. It is a few milliseconds for each node of a cluster, once
//! in its life; handing them to another thread would not be worth its code.

use super::challenge::{Keys, REGISTER_WITHIN, Refusal, challenge};
use super::message::{Founded, Message, send};
use super::proof::{SharedSecret, Transcript};
use super::registered_with::RegisteredWith;
use super::registration::{About, NODES_MAX, Registration};
use super::state::{FoundingState, path_before};
use super::{Founding, FoundingError};
use crate::identity::authority::fingerprint;
use crate::identity::files::{self, PUBLIC, SECRET};
use crate::peer::{Reader, Strangers, Writer};
use holdfast_core::ids::NodeId;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

/// Connections that have not proved anything yet.
const UNPROVED_MAX: usize = 32;

#[derive(Clone, Copy, Debug)]
struct News {
    registered: u32,
    expected: u32,
    founded: bool,
}

/// Serves nodes that register.
pub struct Registrar {
    data: PathBuf,
    keys: Keys,
    state: Mutex<FoundingState>,
    news: watch::Sender<News>,
    unproved: Arc<Semaphore>,
    serving: Mutex<JoinSet<()>>,
    /// Handed to the tasks, which outlive the call that spawns them.
    this: Weak<Self>,
}

impl std::fmt::Debug for Registrar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registrar")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl Strangers for Registrar {
    fn serve(&self, reader: Reader, writer: Writer, address: SocketAddr) {
        let Some(this) = self.this.upgrade() else { return };
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        while serving.try_join_next().is_some() {}
        if serving.len() >= NODES_MAX + UNPROVED_MAX {
            warn!(%address, "too many nodes wait for the founding; registration refused");
            return;
        }
        serving.spawn(async move { this.attend(reader, writer, address).await });
    }
}

impl Registrar {
    pub fn new(data: PathBuf, state: FoundingState, secret: Option<&SharedSecret>) -> Arc<Self> {
        let (news, _) = watch::channel(News::of(&state));
        Arc::new_cyclic(|this| Self {
            data,
            keys: Keys::new(&state.token_secret, secret),
            state: Mutex::new(state),
            news,
            unproved: Arc::new(Semaphore::new(UNPROVED_MAX)),
            serving: Mutex::default(),
            this: this.clone(),
        })
    }

    /// A panic while it was held cannot leave it half changed: it is saved, or the change is taken back.
    pub fn state(&self) -> MutexGuard<'_, FoundingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until as many nodes are on record as shall found the cluster.
    pub async fn all_registered(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self
            .news
            .subscribe()
            .wait_for(|news| news.registered >= news.expected)
            .await;
    }

    /// One connection of a node that registers.
    async fn attend(&self, mut reader: Reader, mut writer: Writer, address: SocketAddr) {
        let Ok(permit) = self.unproved.clone().try_acquire_owned() else {
            warn!(%address, "too many unproved registrations at a time; one refused");
            return;
        };
        let (cluster, authority) = {
            let state = self.state();
            (state.cluster, fingerprint(state.authority.certificate()))
        };
        let proved = challenge(&self.keys, cluster, authority, &mut reader, &mut writer).await;
        let registered = proved.and_then(|(seen, message)| self.register(&seen, message).map_err(Refusal::Told));
        let node = match registered {
            Ok(node) => node,
            Err(Refusal::Told(reason)) => {
                warn!(%address, "registration refused: {reason}");
                let _ = timeout(REGISTER_WITHIN, send(&mut writer, &Message::Refused { reason })).await;
                return;
            }
            Err(Refusal::Silent(why)) => {
                warn!(%address, "registration refused: {why}");
                return;
            }
        };
        drop(permit);
        let mut news = self.news.subscribe();
        let latest = *news.borrow_and_update();
        let (founder, founder_name) = self.founder();
        let registered = Message::Registered {
            node,
            founder,
            founder_name,
            registered: latest.registered,
            expected: latest.expected,
        };
        if send(&mut writer, &registered).await.is_err() {
            return;
        }
        tokio::select! {
            // The node sends nothing while it waits: whatever can be read is its end.
            _ = reader.next() => return,
            founded = news.wait_for(|news| news.founded) => if founded.is_err() { return },
        }
        match self.answer(node) {
            Ok(answer) => match timeout(REGISTER_WITHIN, send(&mut writer, &answer)).await {
                Ok(Ok(())) => info!(%node, "told a member that the cluster is founded"),
                // It will register again.
                _ => info!(%node, "a member hung up before it was told that the cluster is founded"),
            },
            Err(error) => warn!(%node, "cannot answer a registered node: {error}"),
        }
    }

    fn founder(&self) -> (NodeId, String) {
        let state = self.state();
        let founder = state.registrations.first();
        founder.map_or((NodeId(0), String::new()), |founder| {
            (founder.id, founder.about.name.clone())
        })
    }

    /// Tells the log who is on record and how many are missing.
    pub fn say_who_is_there(&self) {
        let state = self.state();
        let there: Vec<&str> = state
            .registrations
            .iter()
            .map(|node| node.about.name.as_str())
            .collect();
        info!(
            registered = there.len(),
            expected = state.expected,
            there = there.join(", "),
            "waiting for more nodes to register. If this node was a member of a cluster before, it has lost its identity: stop it, and \
             put back the identity directory"
        );
    }

    /// Puts a node on record, durably, or says why not.
    fn register(&self, seen: &Transcript, message: Message) -> Result<NodeId, String> {
        let Message::Register {
            public_key,
            signature,
            about,
        } = message
        else {
            return Err("this is not a registration".into());
        };
        if !seen.is_signed(&public_key, &signature) {
            return Err("the registration is not signed with the key that it names".into());
        }
        let mut state = self.state();
        about.check()?;
        let known = state
            .registrations
            .iter()
            .position(|registration| registration.public_key == public_key);
        if state.payload.is_some() {
            let unknown = "this cluster is founded already and does not know this node; joining a founded cluster \
                           comes later";
            return known
                .and_then(|known| state.registrations.get(known))
                .map(|known| known.id)
                .ok_or(unknown.into());
        }
        taken(&state, known, &about)?;
        let before = state.registrations.clone();
        let at = match known {
            Some(known) => {
                if let Some(registration) = state.registrations.get_mut(known) {
                    registration.about = about;
                }
                known
            }
            None if before.len() >= state.expected as usize => {
                return Err(format!("all {} nodes have registered already", state.expected));
            }
            None => {
                // Refused now rather than when the certificate is made.
                state
                    .authority
                    .admit(NodeId(0), &public_key)
                    .map_err(|error| error.to_string())?;
                state.add(public_key, about).map_err(|error| error.to_string())?;
                before.len()
            }
        };
        if let Err(error) = state.save(&path_before(&self.data)) {
            state.registrations = before;
            warn!("cannot record a registration: {error}");
            return Err("the founder cannot write its record of registrations; see its log".into());
        }
        let Some(registration) = state.registrations.get(at) else {
            return Err("the founder lost its record of this registration".into());
        };
        info!(
            node = %registration.id, name = registration.about.name, address = registration.about.node_address,
            registered = state.registrations.len(), expected = state.expected, "node registered"
        );
        self.news.send_replace(News::of(&state));
        Ok(registration.id)
    }

    /// Composes what is handed out, makes the founding durable, and wakes all who wait for it. When nothing can be
    /// composed, nothing was founded.
    pub fn found(
        &self,
        compose: impl FnOnce(&[Registration]) -> Result<Vec<u8>, String>,
    ) -> Result<Founding, FoundingError> {
        let mut state = self.state();
        let payload = compose(&state.registrations).map_err(FoundingError::Settings)?;
        let (Some(founder), key) = (state.registrations.first(), state.key.clone()) else {
            return Err(FoundingError::Settings("a cluster needs a node".into()));
        };
        let identity = state.identity(founder, key, &payload)?;
        let with = RegisteredWith {
            address: founder.about.node_address.clone(),
            founder: founder.id,
            name: founder.about.name.clone(),
        };
        state.payload = Some(payload);
        let further = [
            ("founding", state.encode(), SECRET),
            (RegisteredWith::FILE, with.encode(), PUBLIC),
        ];
        if let Err(error) = identity.create(&self.data, &further) {
            state.payload = None;
            return Err(error.into());
        }
        let before = path_before(&self.data);
        if let Err(error) = files::remove_file(&before) {
            warn!(path = %before.display(), "cannot remove a file that is of no use any more: {error}");
        }
        info!(cluster = %state.cluster, members = state.registrations.len(), "cluster founded");
        self.news.send_replace(News::of(&state));
        Ok(Founding {
            identity,
            members: state.registrations.clone(),
        })
    }

    /// What a member is told when the cluster stands.
    fn answer(&self, node: NodeId) -> Result<Message, FoundingError> {
        let state = self.state();
        let (Some(member), Some(payload)) = (
            state.registrations.iter().find(|registration| registration.id == node),
            &state.payload,
        ) else {
            return Err(FoundingError::Settings(format!("node {node} is not on record")));
        };
        Ok(Message::Founded(Box::new(Founded {
            cluster: state.cluster,
            node,
            certificate: state.authority.admit(node, &member.public_key)?,
            authority: state.authority.certificate().to_vec(),
            authority_key: state.authority.key(),
            secret: state.secret.clone(),
            members: state.registrations.clone(),
            payload: payload.clone(),
        })))
    }
}

impl News {
    fn of(state: &FoundingState) -> Self {
        Self {
            registered: u32::try_from(state.registrations.len()).unwrap_or(u32::MAX),
            expected: state.expected,
            founded: state.payload.is_some(),
        }
    }
}

/// Whether another node has the name or the address of this one.
fn taken(state: &FoundingState, known: Option<usize>, about: &About) -> Result<(), String> {
    let others = || {
        state
            .registrations
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != known)
    };
    if others().any(|(_, other)| other.about.name == about.name) {
        return Err(format!(
            "another node registered as \"{}\"; give this one another name (if it is the same node after its data \
             directory was emptied, found anew with an empty directory on the founder)",
            about.name
        ));
    }
    if others().any(|(_, other)| other.about.node_address == about.node_address) {
        return Err(format!(
            "another node registered with the node address {}",
            about.node_address
        ));
    }
    Ok(())
}
