//! TLS between nodes: who may speak, and with which ciphers.
//!
//! Version 1.3 only, AES-128-GCM first (the cheapest per byte of those measured), no session tickets: connections live
//! for days, resumption would only leave key material about. A member proves itself with a certificate of the
//! cluster's authority; which member it is stands in the certificate's name ([`node_name`]) and is checked against the
//! greeting on both sides. Whoever has no certificate may do one thing, register (rule L7), and says so by its ALPN.

use crate::identity::authority::{cluster_name, gateway_name, node_name};
use holdfast_core::ids::{ClusterId, NodeId};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;

/// ALPN of a member that wants to send messages.
pub const ALPN_PEER: &[u8] = b"holdfast-peer/1";
/// ALPN of a node without certificate that wants to register.
pub const ALPN_JOIN: &[u8] = b"holdfast-join/2";
/// ALPN of a gateway without certificate that wants one.
pub const ALPN_GATEWAY: &[u8] = b"holdfast-gateway/1";

/// What a node shows and trusts. All in DER.
#[derive(Clone)]
pub struct Credentials {
    /// The cluster the certificate belongs to.
    pub cluster: ClusterId,
    /// The node the certificate names.
    pub node: NodeId,
    /// The cluster's authority.
    pub authority: Vec<u8>,
    /// The node's certificate.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS #8.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Keys or certificates that cannot be used.
#[derive(Debug)]
pub struct CredentialsError(String);

impl std::fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the node's certificate or key cannot be used: {}", self.0)
    }
}

impl std::error::Error for CredentialsError {}

impl Credentials {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        // The authority is sent along because a registering node knows only its fingerprint.
        vec![
            CertificateDer::from(self.certificate.clone()),
            CertificateDer::from(self.authority.clone()),
        ]
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    /// Whether the certificate names the node and cluster it is kept for.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        names_node(
            &CertificateDer::from(self.certificate.as_slice()),
            self.node,
            self.cluster,
        )
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, CredentialsError> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.authority.clone()))
            .map_err(unusable)?;
        Ok(Arc::new(roots))
    }

    /// How this node accepts: members with a certificate, and strangers who may only register.
    pub fn server(&self) -> Result<Arc<ServerConfig>, CredentialsError> {
        let provider = provider();
        let members = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(unusable)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(members)
            .with_single_cert(self.chain(), self.private_key())
            .map_err(unusable)?;
        config.alpn_protocols = vec![ALPN_PEER.to_vec(), ALPN_JOIN.to_vec(), ALPN_GATEWAY.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.enable_secret_extraction = true;
        Ok(Arc::new(config))
    }

    /// How this node dials members.
    pub fn client(&self) -> Result<Arc<ClientConfig>, CredentialsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain(), self.private_key())
            .map_err(unusable)?;
        config.alpn_protocols = vec![ALPN_PEER.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_secret_extraction = true;
        Ok(Arc::new(config))
    }
}

/// How a node or gateway without certificate dials, trusting what `verifier` trusts; `alpn` says what it wants.
pub fn stranger(verifier: Arc<dyn ServerCertVerifier>, alpn: &[u8]) -> Result<Arc<ClientConfig>, CredentialsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// The server name to ask for when dialling a node; `None` cannot happen for names made of hexadecimal digits.
pub fn server_name(node: NodeId, cluster: ClusterId) -> Option<ServerName<'static>> {
    ServerName::try_from(node_name(node, cluster)).ok()
}

/// The server name to ask for when any member of the cluster will do.
pub fn any_member(cluster: ClusterId) -> Option<ServerName<'static>> {
    ServerName::try_from(cluster_name(cluster)).ok()
}

/// Whether a certificate, already verified against the authority, names this node.
pub fn names_node(certificate: &CertificateDer<'_>, node: NodeId, cluster: ClusterId) -> bool {
    names(certificate, node_name(node, cluster))
}

fn names(certificate: &CertificateDer<'_>, name: String) -> bool {
    let Ok(name) = ServerName::try_from(name) else {
        return false;
    };
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

/// Whether a certificate, already verified against the authority, names this gateway.
pub fn names_gateway(certificate: &CertificateDer<'_>, gateway: NodeId, cluster: ClusterId) -> bool {
    names(certificate, gateway_name(gateway, cluster))
}

/// aws-lc-rs with AES-128-GCM before the rest.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
    ];
    Arc::new(provider)
}

fn unusable(error: impl std::fmt::Display) -> CredentialsError {
    CredentialsError(error.to_string())
}
