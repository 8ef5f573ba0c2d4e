//! What the founder knows, in one file that is replaced whole: `<data>/identity.founding` while nodes register,
//! `<data>/identity/founding` once the cluster stands.
//!
//! Every answer given to a node is in the file before it is given: an id promised twice, to two nodes, would be two
//! members with one name. The file holds the authority's key and the token's secret, hence mode 0600.

use super::FoundingError;
use super::encoding::{Fields, Malformed, put_bytes};
use super::registration::{About, NODES_MAX, PUBLIC_KEY_BYTES_MAX, Registration, decode_all, encode_all};
use super::token::{JoinToken, TokenSecret};
use crate::identity::authority::{self, Authority, AuthorityError};
use crate::identity::files::{self, SECRET};
use crate::identity::{ClusterSecret, Identity, IdentityError, directory};
use crate::peer::Credentials;
use holdfast_core::ids::{ClusterId, NodeId};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"HFFOUND1";

/// A founding under way or done.
#[derive(Debug)]
pub struct FoundingState {
    pub cluster: ClusterId,
    pub authority: Authority,
    pub token_secret: TokenSecret,
    pub secret: ClusterSecret,
    /// How many nodes found the cluster, the founder included.
    pub expected: u32,
    /// The founder's own private key.
    pub key: Vec<u8>,
    /// In the order in which they registered; the founder first.
    pub registrations: Vec<Registration>,
    /// What is handed out, once the cluster stands.
    pub payload: Option<Vec<u8>>,
}

/// Where it lies while nodes register.
pub fn path_before(data: &Path) -> PathBuf {
    data.join("identity.founding")
}

/// Where it lies once the cluster stands.
pub fn path_after(data: &Path) -> PathBuf {
    directory(data).join("founding")
}

impl FoundingState {
    /// A new cluster with its founder registered.
    pub fn begin(expected: u32, about: About) -> Result<Self, FoundingError> {
        let cluster = ClusterId(u128::from_le_bytes(random()?));
        let key = authority::generate_key()?;
        let public_key = authority::public_key(&key)?;
        let mut state = Self {
            cluster,
            authority: Authority::generate(cluster)?,
            token_secret: TokenSecret(random()?),
            secret: ClusterSecret(random()?),
            expected,
            key,
            registrations: Vec::new(),
            payload: None,
        };
        state.add(public_key, about)?;
        Ok(state)
    }

    /// Reads a founding file, if there is one.
    pub fn load(path: &Path) -> Result<Option<Self>, FoundingError> {
        let Some(bytes) = files::read_file(path).map_err(|error| IdentityError::io(path, &error))? else {
            return Ok(None);
        };
        match Self::decode(&bytes) {
            Ok(state) => Ok(Some(state)),
            Err(problem) => Err(FoundingError::Identity(IdentityError::damaged(path, problem))),
        }
    }

    /// Makes it durable.
    pub fn save(&self, path: &Path) -> Result<(), FoundingError> {
        files::write_file(path, &self.encode(), SECRET).map_err(|error| IdentityError::io(path, &error).into())
    }

    /// Gives a node an id and puts it on record (in memory; the caller saves).
    pub fn add(&mut self, public_key: Vec<u8>, about: About) -> Result<NodeId, FoundingError> {
        let id = loop {
            let id = NodeId(u64::from_le_bytes(random()?));
            if id != NodeId(0) && self.registrations.iter().all(|registration| registration.id != id) {
                break id;
            }
        };
        self.registrations.push(Registration { id, public_key, about });
        Ok(id)
    }

    pub fn token(&self) -> JoinToken {
        JoinToken {
            cluster: self.cluster,
            fingerprint: authority::fingerprint(self.authority.certificate()),
            secret: self.token_secret,
        }
    }

    /// The founder's own credentials.
    pub fn credentials(&self) -> Result<Credentials, FoundingError> {
        let founder = self
            .registrations
            .first()
            .ok_or(AuthorityError::missing("the founder's own registration"))?;
        Ok(Credentials {
            cluster: self.cluster,
            node: founder.id,
            authority: self.authority.certificate().to_vec(),
            certificate: self.authority.admit(founder.id, &founder.public_key)?,
            key: self.key.clone(),
        })
    }

    /// The identity of a member that holds this private key.
    pub fn identity(&self, member: &Registration, key: Vec<u8>, payload: &[u8]) -> Result<Identity, FoundingError> {
        Ok(Identity {
            cluster: self.cluster,
            node: member.id,
            name: member.about.name.clone(),
            authority: self.authority.certificate().to_vec(),
            authority_key: Some(self.authority.key()),
            certificate: self.authority.admit(member.id, &member.public_key)?,
            key,
            secret: self.secret.clone(),
            layout: payload.to_vec(),
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.cluster.0.to_le_bytes());
        put_bytes(&mut out, self.authority.certificate());
        put_bytes(&mut out, &self.authority.key());
        out.extend_from_slice(&self.token_secret.0);
        out.extend_from_slice(&self.secret.0);
        out.extend_from_slice(&self.expected.to_le_bytes());
        put_bytes(&mut out, &self.key);
        encode_all(&self.registrations, &mut out);
        match &self.payload {
            None => out.push(0),
            Some(payload) => {
                out.push(1);
                put_bytes(&mut out, payload);
            }
        }
        let sum = *blake3::hash(&out).as_bytes();
        out.extend_from_slice(&sum);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (content, sum) = bytes.split_last_chunk::<32>().ok_or("it is cut short")?;
        if blake3::hash(content).as_bytes() != sum {
            return Err("its checksum does not match".into());
        }
        let mut fields = Fields(content);
        Self::decode_fields(&mut fields).map_err(|error| error.to_string())?
    }

    fn decode_fields(fields: &mut Fields<'_>) -> Result<Result<Self, String>, Malformed> {
        if fields.array::<8>()? != *MAGIC {
            return Ok(Err("it is of another version of holdfast".into()));
        }
        let cluster = ClusterId(fields.u128()?);
        let certificate = fields.bytes(PUBLIC_KEY_BYTES_MAX * 16)?.to_vec();
        let authority_key = fields.bytes(PUBLIC_KEY_BYTES_MAX * 16)?;
        let authority = match Authority::load(cluster, certificate, authority_key) {
            Ok(authority) => authority,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let state = Self {
            cluster,
            authority,
            token_secret: TokenSecret(fields.array()?),
            secret: ClusterSecret(fields.array()?),
            expected: fields.u32()?,
            key: fields.bytes(PUBLIC_KEY_BYTES_MAX * 16)?.to_vec(),
            registrations: decode_all(fields)?,
            payload: match fields.u8()? {
                0 => None,
                _ => Some(fields.bytes(usize::MAX)?.to_vec()),
            },
        };
        fields.end()?;
        if state.registrations.is_empty() || state.registrations.len() > NODES_MAX {
            return Err(Malformed);
        }
        Ok(Ok(state))
    }
}

pub fn random<const N: usize>() -> Result<[u8; N], FoundingError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| FoundingError::Randomness(error.to_string()))?;
    Ok(bytes)
}
