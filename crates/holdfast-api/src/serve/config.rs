//! What an administrator chooses about the front ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything the front ends need to be told.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Where S3 listens; several for several interfaces, `[::]` for all of both families.
    pub s3_addresses: Vec<SocketAddr>,
    /// Where REST, `/metrics` and `/health` listen.
    pub rest_addresses: Vec<SocketAddr>,
    /// The region this cluster calls itself.
    pub region: String,
    /// Domains under which `bucket.domain` addresses a bucket; empty for path style only.
    pub base_domains: Vec<String>,
    /// The token that `Authorization: Bearer` must carry; `None` leaves only signatures.
    pub admin_token: Option<String>,
    /// The access key that may manage keys, beside the admin token.
    pub root_key_id: Option<String>,
    /// Seals the sessions of the console. With the same one on all members, who signed in on one is known on all; `None` draws
    /// one, and sessions end with the process.
    pub session_key: Option<[u8; 32]>,
    /// Whether URLs presigned with SigV2 are taken. The aws cli and boto3 make such URLs by default in `us-east-1`.
    pub presigned_v2: bool,
    /// Certificate and key; `None` serves plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Bounds on what clients may take.
    pub limits: Limits,
}

/// Where certificate and key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// PEM: the certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// Bounds on what clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once, both ports together; one more is answered 503 and closed.
    pub connections_max: usize,
    /// Request line and headers of one request, in bytes.
    pub header_bytes_max: usize,
    /// How long a connection may take to send a request's headers, idle time between requests included.
    pub header_patience: Duration,
    /// How long a client may send no byte of a body.
    pub body_patience: Duration,
    /// How long a TLS handshake may take.
    pub handshake_patience: Duration,
    /// How long requests under way may take to finish once the server is told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Each costs a few KiB while idle; the default ulimit of 1,024 files is raised by the binary.
            connections_max: 4096,
            // S3 allows 8 KiB; keys of 1,024 encoded bytes and presigned queries with session tokens need more.
            header_bytes_max: 32 * 1024,
            // Longer than the idle time after which SDKs drop pooled connections themselves, so that closing rarely
            // races with a request.
            header_patience: Duration::from_secs(75),
            body_patience: Duration::from_secs(30),
            handshake_patience: Duration::from_secs(10),
            drain: Duration::from_secs(25),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        let any_port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            s3_addresses: vec![any_port(9000)],
            rest_addresses: vec![any_port(9001)],
            region: "us-east-1".to_owned(),
            base_domains: Vec::new(),
            admin_token: None,
            root_key_id: None,
            session_key: None,
            presigned_v2: true,
            tls: None,
            limits: Limits::default(),
        }
    }
}
