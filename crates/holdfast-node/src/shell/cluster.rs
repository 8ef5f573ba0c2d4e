//! What founding hands to every member, and what each keeps beside its certificate: the layout, where the members can
//! be reached, and the root key. Opaque to `founding`.

use std::collections::BTreeMap;

use holdfast_core::codec::{DecodeError, Reader, Writer};
use holdfast_core::ids::NodeId;
use holdfast_core::layout::{Layout, Member, PLACE_NAME_BYTES_MAX};

use crate::founding::Registration;

/// First byte of the file.
const CLUSTER_VERSION: u8 = 1;
/// No address, name or secret is longer.
const TEXT_BYTES_MAX: usize = 1024;
/// A layout of the largest cluster stays far below this.
const LAYOUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The cluster as founded.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Members and preference lists.
    pub layout: Layout,
    /// Where each member can be reached, in the order of the layout's members.
    pub addresses: Vec<Addresses>,
    /// The key that exists before any other.
    pub root: RootKey,
}

/// Where a member can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Which member.
    pub node: NodeId,
    /// Its node port.
    pub peer: String,
    /// Its S3 port.
    pub s3: String,
    /// Its REST port.
    pub rest: String,
}

/// The access key that founding makes.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey {
    /// Public half.
    pub id: String,
    /// Secret half.
    pub secret: String,
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Cluster {
    /// The node ports of all members.
    pub(super) fn peer_addresses(&self) -> BTreeMap<NodeId, String> {
        let addresses = self.addresses.iter();
        addresses.map(|member| (member.node, member.peer.clone())).collect()
    }

    /// The cluster that these nodes found.
    ///
    /// # Errors
    /// When no node could read its layout again, with what to do: founded all the same, it would never start.
    pub fn found(nodes: &[Registration], partition_bits: u8, root: RootKey) -> Result<Self, String> {
        let members = nodes.iter().map(|node| Member {
            id: node.id,
            name: node.about.name.clone(),
            zone: node.about.zone.clone(),
            host: node.about.host.clone(),
            capacity_bytes: node.about.capacity_bytes,
        });
        let members: Vec<Member> = members.collect();
        if !Layout::is_storable(&members, partition_bits) {
            return Err(format!(
                "a layout cannot hold {} members on 2^{partition_bits} partitions, or a name of a node, zone or host is \
                 longer than {PLACE_NAME_BYTES_MAX} bytes: found the cluster with fewer nodes and shorter names",
                members.len()
            ));
        }
        let layout = Layout::found(members, partition_bits);
        let mut addresses: Vec<Addresses> = nodes
            .iter()
            .map(|node| Addresses {
                node: node.id,
                peer: node.about.node_address.clone(),
                s3: node.about.s3_address.clone(),
                rest: node.about.rest_address.clone(),
            })
            .collect();
        addresses.sort_by_key(|addresses| addresses.node);
        Ok(Self {
            layout,
            addresses,
            root,
        })
    }

    /// As bytes, for the founding payload and the identity directory.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256);
        writer.u8(CLUSTER_VERSION);
        writer.bytes(&self.layout.encode());
        writer.count(self.addresses.len());
        for addresses in &self.addresses {
            writer.u64(addresses.node.0);
            writer.str(&addresses.peer);
            writer.str(&addresses.s3);
            writer.str(&addresses.rest);
        }
        writer.str(&self.root.id);
        writer.str(&self.root.secret);
        writer.into_vec()
    }

    /// Undoes [`Cluster::encode`].
    ///
    /// # Errors
    /// When the bytes are damaged or of a newer version; the node must not start on them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::over_slice(bytes);
        let unreadable = |error: DecodeError| format!("the cluster file is damaged: {error:?}");
        let version = reader.u8().map_err(unreadable)?;
        if version != CLUSTER_VERSION {
            return Err(format!(
                "the cluster file has version {version}, this program reads {CLUSTER_VERSION}"
            ));
        }
        let layout = reader.slice("layout", LAYOUT_BYTES_MAX).map_err(unreadable)?;
        let layout = Layout::decode(layout).map_err(|error| error.to_string())?;
        let count = reader.count(11).map_err(unreadable)?;
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            addresses.push(Addresses {
                node: NodeId(reader.u64().map_err(unreadable)?),
                peer: reader.str("address", TEXT_BYTES_MAX).map_err(unreadable)?,
                s3: reader.str("address", TEXT_BYTES_MAX).map_err(unreadable)?,
                rest: reader.str("address", TEXT_BYTES_MAX).map_err(unreadable)?,
            });
        }
        let root = RootKey {
            id: reader.str("key id", TEXT_BYTES_MAX).map_err(unreadable)?,
            secret: reader.str("key secret", TEXT_BYTES_MAX).map_err(unreadable)?,
        };
        reader.finish().map_err(unreadable)?;
        Ok(Self {
            layout,
            addresses,
            root,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::founding::About;

    fn node(id: u64, zone: &str) -> Registration {
        Registration {
            id: NodeId(id),
            public_key: Vec::new(),
            about: About {
                name: format!("n{id}"),
                zone: zone.to_owned(),
                capacity_bytes: 1,
                ..About::default()
            },
        }
    }

    fn root() -> RootKey {
        RootKey {
            id: "ROOT".to_owned(),
            secret: "secret".to_owned(),
        }
    }

    #[test]
    fn a_cluster_that_could_not_start_is_not_founded() {
        let found = Cluster::found(&[node(1, "a"), node(2, "b")], 4, root()).expect("founded");
        let read = Cluster::decode(&found.encode()).expect("read again");
        assert_eq!((read.root, read.layout.members().len()), (root(), 2));
        for refused in [
            Cluster::found(&[node(1, &"z".repeat(256))], 4, root()),
            Cluster::found(&[node(1, "a")], 17, root()),
            Cluster::found(&[], 4, root()),
        ] {
            assert!(refused.is_err_and(|why| why.contains("fewer nodes")));
        }
    }
}
