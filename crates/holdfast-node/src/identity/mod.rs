//! Who this node is: its id, its cluster, its certificate and the cluster's secrets.
//!
//! All of it lives in `<data>/identity/`, apart from `<data>/store/`: a node whose disk of objects was wiped or
//! replaced is still the same member with the same certificate, only with a new actor (rules L7 and S1). The directory
//! appears whole when the node has been founded or admitted, or not at all; afterwards `layout` is rewritten, and `stored` added.
//!
//! | file | holds |
//! |---|---|
//! | `node` | text: format, cluster id, node id, name |
//! | `node.pem`, `node.key` | this node's certificate and private key |
//! | `authority.pem` | the certificate by which members recognise each other |
//! | `authority.key` | the key that admits nodes; see [`authority`] for who has it and why |
//! | `secret` | 32 bytes in hexadecimal, alike on all members: keys for hash trees, context tokens and gossip derive from it |
//! | `layout` | the latest layout, opaque here |
//! | `founding` | on the founder only: what it answers a member whose answer was lost |
//! | `stored` | there since this node first had a store: `kept`, or `put aside` when that was an old copy (rules S1, S2) |

pub mod authority;
pub(crate) mod files;

use crate::peer::Credentials;
use files::{PUBLIC, SECRET};
use holdfast_core::ids::{ClusterId, NodeId};
use std::io;
use std::path::{Path, PathBuf};

/// The cluster's secret. It shows nothing of itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret(pub [u8; 32]);

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

impl ClusterSecret {
    /// A key for one purpose, alike on all members; whoever learns it learns nothing of the others.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("holdfast cluster secret v1");
        hasher.update(&self.0);
        hasher.update(purpose.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// Everything a node must know to be itself. Certificates and keys in DER.
#[derive(Clone)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member.
    pub node: NodeId,
    /// What people call it.
    pub name: String,
    /// The cluster authority's certificate.
    pub authority: Vec<u8>,
    /// The key that admits nodes, where this node has it.
    pub authority_key: Option<Vec<u8>>,
    /// This node's certificate.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The secret that all members share.
    pub secret: ClusterSecret,
    /// The latest layout, opaque here; at first what the founding handed out.
    pub layout: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An identity that cannot be read or written. Reading changes nothing; a failed write leaves the old file or none.
#[derive(Debug)]
pub struct IdentityError {
    path: PathBuf,
    problem: String,
    remedy: &'static str,
}

impl std::fmt::Display for IdentityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.problem, self.remedy)
    }
}

impl std::error::Error for IdentityError {}

const RESTORE: &str = "restore the identity directory from a backup, or remove it and let the node register anew under \
                       a new name";
const PERMISSIONS: &str = "check that the directory belongs to the user that runs holdfast and that the disk is \
                           writable and not full";

impl IdentityError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        Self {
            path: path.to_owned(),
            problem: error.to_string(),
            remedy: PERMISSIONS,
        }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.into(),
            remedy: RESTORE,
        }
    }
}

const NODE_HEADER: &str = "holdfast identity 1";
const CERTIFICATE_TAG: &str = "CERTIFICATE";
const KEY_TAG: &str = "PRIVATE KEY";

/// Tells that this node has had a store.
const STORED: &str = "stored";
const PUT_ASIDE: &[u8] = b"put aside\n";
const KEPT: &[u8] = b"kept\n";

/// What became of this node's store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// It never had one.
    Never,
    /// It has one.
    Kept,
    /// It had one, which was an old copy.
    PutAside,
}

/// What became of this node's store.
pub fn stored(data: &Path) -> Result<Stored, IdentityError> {
    let path = directory(data).join(STORED);
    let noted = files::read_file(&path).map_err(|error| IdentityError::io(&path, &error))?;
    Ok(match noted.as_deref() {
        None => Stored::Never,
        Some(PUT_ASIDE) => Stored::PutAside,
        Some(_) => Stored::Kept,
    })
}

/// Notes durably what becomes of this node's store. Without an identity there is nothing to note.
pub fn note_stored(data: &Path, now: Stored) -> Result<(), IdentityError> {
    let note = match now {
        Stored::Kept => KEPT,
        Stored::PutAside => PUT_ASIDE,
        Stored::Never => return Ok(()),
    };
    if stored(data)? == now || !directory(data).exists() {
        return Ok(());
    }
    let path = directory(data).join(STORED);
    files::write_file(&path, note, PUBLIC).map_err(|error| IdentityError::io(&path, &error))
}

/// Where a node's identity lies within its data directory.
#[must_use]
pub fn directory(data: &Path) -> PathBuf {
    data.join("identity")
}

impl Identity {
    /// Reads the identity in a data directory; `None` if the node has none yet.
    pub fn load(data: &Path) -> Result<Option<Self>, IdentityError> {
        let directory = directory(data);
        match directory.try_exists() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(IdentityError::io(&directory, &error)),
        }
        let (cluster, node, name) = parse_node(&directory.join("node"))?;
        let identity = Self {
            cluster,
            node,
            name,
            authority: read_pem(&directory.join("authority.pem"), CERTIFICATE_TAG)?,
            authority_key: match files::read_file(&directory.join("authority.key")) {
                Ok(None) => None,
                _ => Some(read_pem(&directory.join("authority.key"), KEY_TAG)?),
            },
            certificate: read_pem(&directory.join("node.pem"), CERTIFICATE_TAG)?,
            key: read_pem(&directory.join("node.key"), KEY_TAG)?,
            secret: read_secret(&directory.join("secret"))?,
            layout: read(&directory.join("layout"))?,
        };
        identity.check(&directory)?;
        Ok(Some(identity))
    }

    /// Makes the identity durable in a data directory that has none, with further files beside it.
    pub(crate) fn create(&self, data: &Path, further: &[(&str, Vec<u8>, u32)]) -> Result<(), IdentityError> {
        let directory = directory(data);
        self.check(&directory)?;
        let node = format!(
            "{NODE_HEADER}\ncluster {}\nnode {}\nname {}\n",
            self.cluster, self.node, self.name
        );
        let secret = format!("{}\n", to_hex(&self.secret.0));
        let mut files = vec![
            ("node", node.into_bytes(), PUBLIC),
            ("authority.pem", to_pem(CERTIFICATE_TAG, &self.authority), PUBLIC),
            ("node.pem", to_pem(CERTIFICATE_TAG, &self.certificate), PUBLIC),
            ("node.key", to_pem(KEY_TAG, &self.key), SECRET),
            ("secret", secret.into_bytes(), SECRET),
            // Holds the root key.
            ("layout", self.layout.clone(), SECRET),
        ];
        if let Some(key) = &self.authority_key {
            files.push(("authority.key", to_pem(KEY_TAG, key), SECRET));
        }
        files.extend_from_slice(further);
        files::publish_directory(&directory, &files).map_err(|error| IdentityError::io(&directory, &error))
    }

    /// Makes a newer layout durable.
    pub fn write_layout(&mut self, data: &Path, layout: Vec<u8>) -> Result<(), IdentityError> {
        let path = directory(data).join("layout");
        files::write_file(&path, &layout, SECRET).map_err(|error| IdentityError::io(&path, &error))?;
        self.layout = layout;
        Ok(())
    }

    /// What connections to other nodes need.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials {
            cluster: self.cluster,
            node: self.node,
            authority: self.authority.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        }
    }

    /// Key, certificate and ids must belong together: files of two nodes mixed up would else fail far from here.
    fn check(&self, directory: &Path) -> Result<(), IdentityError> {
        let problem = match self.credentials().client() {
            Err(error) => Some(error.to_string()),
            Ok(_) if !self.credentials().is_consistent() => Some(format!(
                "node.pem is not a certificate of node {} of cluster {}",
                self.node, self.cluster
            )),
            Ok(_) => None,
        };
        problem.map_or(Ok(()), |problem| Err(IdentityError::damaged(directory, problem)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    match files::read_file(path) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(IdentityError::damaged(path, "the file is missing")),
        Err(error) => Err(IdentityError::io(path, &error)),
    }
}

fn parse_node(path: &Path) -> Result<(ClusterId, NodeId, String), IdentityError> {
    let text = String::from_utf8(read(path)?).map_err(|_| IdentityError::damaged(path, "it is not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(NODE_HEADER) {
        return Err(IdentityError::damaged(
            path,
            "it does not begin with \"holdfast identity 1\"",
        ));
    }
    let mut field = |name: &str| {
        let line = lines
            .next()
            .and_then(|line| line.strip_prefix(name))
            .and_then(|line| line.strip_prefix(' '));
        line.ok_or_else(|| IdentityError::damaged(path, format!("the line \"{name} …\" is missing")))
    };
    let (cluster, node, name) = (field("cluster")?, field("node")?, field("name")?);
    let cluster = u128::from_str_radix(cluster, 16);
    let node = u64::from_str_radix(node, 16);
    match (cluster, node) {
        (Ok(cluster), Ok(node)) => Ok((ClusterId(cluster), NodeId(node), name.to_owned())),
        _ => Err(IdentityError::damaged(path, "an id is not a hexadecimal number")),
    }
}

fn read_pem(path: &Path, tag: &str) -> Result<Vec<u8>, IdentityError> {
    from_pem(tag, &read(path)?).map_err(|problem| IdentityError::damaged(path, problem))
}

pub(crate) fn from_pem(tag: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let parsed = pem::parse(bytes).map_err(|error| error.to_string())?;
    if parsed.tag() == tag {
        Ok(parsed.into_contents())
    } else {
        Err(format!("it holds no {}", tag.to_lowercase()))
    }
}

pub(crate) fn to_pem(tag: &str, der: &[u8]) -> Vec<u8> {
    pem::encode(&pem::Pem::new(tag, der)).into_bytes()
}

fn read_secret(path: &Path) -> Result<ClusterSecret, IdentityError> {
    let bytes = read(path)?;
    let secret = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| from_hex(text.trim_end()));
    secret
        .map(ClusterSecret)
        .ok_or_else(|| IdentityError::damaged(path, "it is not 64 hexadecimal digits"))
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(out)
}

pub(crate) const PRIVATE_KEY_TAG: &str = KEY_TAG;
