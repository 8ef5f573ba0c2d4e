//! How a node with an empty data directory comes to its cluster: alone, as founder, or by joining (rule L7).

use holdfast_node::founding::{
    About, FoundConfig, Founder, FoundingError, JoinConfig, Registration, found_alone, join,
};
use holdfast_node::identity::Identity;
use holdfast_node::shell::{Cluster, RootKey};
use tracing::{info, warn};

use crate::config::{Birth, Config};
use crate::dev::write_secret;
use crate::failure::{Exit, Failure};
use crate::serve::data_dir::DataDir;
use crate::serve::{JOIN_TOKEN_FILE, NodeListener, admission, secrets, split_advice};

/// 1,024 partitions: balanced to a percent at ten nodes, and small enough that every message may list them (rule L1).
const PARTITION_BITS: u8 = 10;

/// Makes this node a member of a cluster. May wait for other nodes without end; what was reached is on disk.
pub async fn born(config: &Config, data_dir: &DataDir, listener: NodeListener) -> Result<Identity, Failure> {
    let about = about(config, data_dir);
    let data = data_dir.path().to_owned();
    match &config.birth {
        Birth::Alone => {
            let root = secrets::root_key(config)?;
            let founding = found_alone(&data, about, compose(root)).map_err(founding_failure)?;
            info!(cluster = %founding.identity.cluster, "founded a cluster of this node alone");
            Ok(founding.identity)
        }
        Birth::Found {
            members,
            token_file,
            secret_file,
        } => {
            let secret = match secret_file {
                Some(path) => Some(admission::await_secret(path).await),
                None => None,
            };
            let founding = FoundConfig {
                data,
                nodes: usize::try_from(*members).unwrap_or(usize::MAX),
                about,
                secret,
            };
            let founder = Founder::open(founding).map_err(founding_failure)?;
            let token = format!("{}\n", founder.token());
            data_dir.write_secret(JOIN_TOKEN_FILE, &token)?;
            if let Some(path) = token_file {
                write_secret(path, &token)?;
            }
            admission::say_how_to_join(config, data_dir, *members);
            let root = secrets::root_key(config)?;
            let (founding, _) = founder.run(listener, compose(root)).await.map_err(founding_failure)?;
            data_dir.remove(JOIN_TOKEN_FILE)?;
            info!(cluster = %founding.identity.cluster, members = founding.members.len(), "the cluster is founded");
            Ok(founding.identity)
        }
        Birth::Join { seeds, pass } => {
            info!(%seeds, own = config.node_advertise, "looking for the founder, to register with it");
            let joining = JoinConfig {
                data,
                seeds: seeds.clone(),
                admission: admission::of(pass)?,
                about,
            };
            Ok(join(joining).await.map_err(founding_failure)?.identity)
        }
    }
}

/// Says where a member's configuration and its cluster differ; what was settled at founding stays.
pub fn compare(identity: &Identity, config: &Config) {
    if identity.name != config.name {
        warn!(
            member = identity.name,
            configured = config.name,
            "the name was settled at founding and stays"
        );
    }
    let Ok(cluster) = Cluster::decode(&identity.layout) else {
        return;
    };
    if let Some(key) = &config.root_key
        && (key.id != cluster.root.id || key.secret != cluster.root.secret)
    {
        warn!(
            root_key = cluster.root.id,
            "the root key was settled at founding and stays; the configured one is not used"
        );
    }
    let known = cluster
        .addresses
        .iter()
        .find(|addresses| addresses.node == identity.node);
    if let Some(known) = known
        && known.peer != config.node_advertise
    {
        warn!(
            known = known.peer,
            configured = config.node_advertise,
            "the other members still dial the address given at founding; changing it is not built yet"
        );
    }
}

fn about(config: &Config, data_dir: &DataDir) -> About {
    About {
        name: config.name.clone(),
        node_address: config.node_advertise.clone(),
        s3_address: config.s3_advertise.clone(),
        rest_address: config.rest_advertise.clone(),
        zone: config.zone.clone(),
        host: config.host.clone(),
        capacity_bytes: config.capacity_bytes.unwrap_or_else(|| data_dir.disk_bytes()),
    }
}

fn compose(root: RootKey) -> impl FnOnce(&[Registration]) -> Result<Vec<u8>, String> {
    move |nodes| Ok(Cluster::found(nodes, PARTITION_BITS, root)?.encode())
}

/// A founding or joining that failed, in words.
pub fn founding_failure(error: FoundingError) -> Failure {
    match error {
        FoundingError::Identity(error) => split_advice(&error.to_string()),
        FoundingError::Settings(problem) => Failure::usage(problem, "correct the settings of this node"),
        FoundingError::Refused(reason) => Failure::new(
            format!("the founder refuses this node: {reason}"),
            "correct the settings of this node, and start it again",
        )
        .exit(Exit::Denied),
        FoundingError::Founder(problem) => {
            Failure::new(problem, "check --join and --token: they must be of the same founder").exit(Exit::Denied)
        }
        other => Failure::new(other.to_string(), "try again, and report this if it stays"),
    }
}
