//! What a node says of itself when it registers, and what the founder makes of it.

use super::encoding::{Fields, Malformed, put_bytes};
use holdfast_core::ids::NodeId;

/// Names and addresses are for people and for DNS, whose own limit is 253.
pub const TEXT_BYTES_MAX: usize = 255;
/// An uncompressed P-256 point is 65 bytes; other kinds of keys may come.
pub const PUBLIC_KEY_BYTES_MAX: usize = 256;
/// A founding of more nodes than this would first want another way to hand out addresses.
pub const NODES_MAX: usize = 1024;

/// A node as its operator describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// What people call it; unique in the cluster.
    pub name: String,
    /// Where the other nodes reach its node port: `host:port`.
    pub node_address: String,
    /// Where clients reach its S3 port: `host:port`.
    pub s3_address: String,
    /// Where clients reach its REST port: `host:port`.
    pub rest_address: String,
    /// Replicas are spread over zones first …
    pub zone: String,
    /// … and over hosts then.
    pub host: String,
    /// How much it can store, which is how much it is given.
    pub capacity_bytes: u64,
}

/// A node that registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The id it was given, for ever.
    pub id: NodeId,
    /// Its public key, by which it is known when it registers again.
    pub public_key: Vec<u8>,
    /// What it says of itself.
    pub about: About,
}

impl About {
    /// What is wrong with it, for the operator.
    pub fn check(&self) -> Result<(), String> {
        let texts = [
            ("name", &self.name),
            ("node address", &self.node_address),
            ("S3 address", &self.s3_address),
            ("REST address", &self.rest_address),
            ("zone", &self.zone),
            ("host", &self.host),
        ];
        for (what, text) in texts {
            if text.len() > TEXT_BYTES_MAX {
                return Err(format!("the node's {what} is longer than {TEXT_BYTES_MAX} bytes"));
            }
            if text.chars().any(char::is_control) {
                return Err(format!("the node's {what} contains control characters"));
            }
        }
        if self.name.trim().is_empty() || self.name.trim() != self.name {
            return Err("the node needs a name that neither begins nor ends with a space".into());
        }
        let port = self.node_address.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse::<u16>().ok()?;
            (!host.is_empty() && port != 0).then_some(port)
        });
        if port.is_none() {
            return Err(format!(
                "the node address \"{}\" is not of the form host:port",
                self.node_address
            ));
        }
        Ok(())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for text in [
            &self.name,
            &self.node_address,
            &self.s3_address,
            &self.rest_address,
            &self.zone,
            &self.host,
        ] {
            put_bytes(out, text.as_bytes());
        }
        out.extend_from_slice(&self.capacity_bytes.to_le_bytes());
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: fields.text(TEXT_BYTES_MAX)?,
            node_address: fields.text(TEXT_BYTES_MAX)?,
            s3_address: fields.text(TEXT_BYTES_MAX)?,
            rest_address: fields.text(TEXT_BYTES_MAX)?,
            zone: fields.text(TEXT_BYTES_MAX)?,
            host: fields.text(TEXT_BYTES_MAX)?,
            capacity_bytes: fields.u64()?,
        })
    }
}

pub(super) fn encode_all(registrations: &[Registration], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(registrations.len()).unwrap_or(u32::MAX).to_le_bytes());
    for registration in registrations {
        out.extend_from_slice(&registration.id.0.to_le_bytes());
        put_bytes(out, &registration.public_key);
        registration.about.encode(out);
    }
}

pub(super) fn decode_all(fields: &mut Fields<'_>) -> Result<Vec<Registration>, Malformed> {
    let count = usize::try_from(fields.u32()?).map_err(|_| Malformed)?;
    if count > NODES_MAX {
        return Err(Malformed);
    }
    let mut registrations = Vec::new();
    for _ in 0..count {
        registrations.push(Registration {
            id: NodeId(fields.u64()?),
            public_key: fields.bytes(PUBLIC_KEY_BYTES_MAX)?.to_vec(),
            about: About::decode(fields)?,
        });
    }
    Ok(registrations)
}
