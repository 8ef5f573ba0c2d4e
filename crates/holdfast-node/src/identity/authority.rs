//! The cluster's certificate authority, made once at founding (rule L7), and the certificates it gives to nodes.
//!
//! A node's certificate names its node id and its cluster as DNS names, so that the ordinary check of a server's name
//! is also the check that a peer is who it claims to be; no certificate is ever parsed by hand. Certificates do not
//! expire: a cluster that stopped one night because nobody renewed it would be a failure we made ourselves, and a node
//! is expelled by the layout, not by a date.
//!
//! Where the authority's key lives: with *every founding member*, beside its node key and protected like it (mode
//! 0600). Any node may have to admit a replacement after the founder is lost for good (promise P6), and a member that
//! is broken into has given away the cluster secret and its own certificate in any case. The price: such a node can
//! also mint further certificates, so expelling it for certain means founding a new authority. Encrypting the key
//! would only move the question to where the passphrase lies. Nodes that join later need not be given it.
//!
//! Weak: there is no revocation yet.

use aws_lc_rs::digest::{SHA256, digest};
use holdfast_core::ids::{ClusterId, NodeId};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};

/// Making or reading a key or certificate failed; nothing was changed.
#[derive(Debug)]
pub struct AuthorityError(String);

impl AuthorityError {
    pub(crate) fn missing(what: &str) -> Self {
        Self(format!("{what} is missing"))
    }
}

impl std::fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AuthorityError {}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self(format!("certificate: {error}"))
    }
}

/// The name in a node's certificate.
#[must_use]
pub fn node_name(node: NodeId, cluster: ClusterId) -> String {
    format!("node-{node}.{cluster}.holdfast")
}

/// The name in a gateway's certificate. It carries no other: no gateway can be taken for a node.
#[must_use]
pub fn gateway_name(gateway: NodeId, cluster: ClusterId) -> String {
    format!("gateway-{gateway}.{cluster}.holdfast")
}

/// The name that every node's certificate carries beside its own.
#[must_use]
pub fn cluster_name(cluster: ClusterId) -> String {
    format!("{cluster}.holdfast")
}

/// SHA-256 of a certificate, by which a join token pins the authority.
#[must_use]
pub fn fingerprint(certificate_der: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, certificate_der).as_ref());
    out
}

/// A fresh private key, PKCS #8 in DER.
pub fn generate_key() -> Result<Vec<u8>, AuthorityError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_der())
}

/// The public half of a key made by [`generate_key`], as it travels in a registration.
pub fn public_key(key_der: &[u8]) -> Result<Vec<u8>, AuthorityError> {
    Ok(KeyPair::try_from(key_der)?.public_key_raw().to_vec())
}

/// An uncompressed P-256 point; anything else cannot be a node's key.
const PUBLIC_KEY_BYTES: usize = 65;

/// The public key of another node, to be put into its certificate.
struct NodeKey<'a>(&'a [u8]);

impl PublicKeyData for NodeKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The authority: its self-signed certificate and the key that signs.
pub struct Authority {
    cluster: ClusterId,
    certificate: Vec<u8>,
    key: KeyPair,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes the authority of a new cluster.
    pub fn generate(cluster: ClusterId) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = authority_params(cluster).self_signed(&key)?.der().to_vec();
        Ok(Self {
            cluster,
            certificate,
            key,
        })
    }

    /// Takes up an authority made earlier.
    pub fn load(cluster: ClusterId, certificate: Vec<u8>, key_der: &[u8]) -> Result<Self, AuthorityError> {
        Ok(Self {
            cluster,
            certificate,
            key: KeyPair::try_from(key_der)?,
        })
    }

    /// The certificate by which nodes recognise each other, in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The signing key, PKCS #8 in DER.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        self.key.serialize_der()
    }

    /// Signs a certificate that binds a public key to a node id; in DER.
    pub fn admit(&self, node: NodeId, public_key: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        let names = vec![node_name(node, self.cluster), cluster_name(self.cluster)];
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(public_key, names, usages)
    }

    /// The same for a gateway, which nobody dials.
    pub fn admit_gateway(&self, gateway: NodeId, public_key: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        let names = vec![gateway_name(gateway, self.cluster)];
        self.sign(public_key, names, vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    fn sign(
        &self,
        public_key: &[u8],
        names: Vec<String>,
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> Result<Vec<u8>, AuthorityError> {
        if public_key.len() != PUBLIC_KEY_BYTES || public_key[0] != 4 {
            return Err(AuthorityError(
                "the node's public key is not an uncompressed P-256 point".into(),
            ));
        }
        let own_name = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, own_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(authority_params(self.cluster), &self.key);
        Ok(params.signed_by(&NodeKey(public_key), &issuer)?.der().to_vec())
    }
}

/// Everything in the authority's certificate follows from the cluster id and the key, so that it need not be parsed
/// back to sign with it.
fn authority_params(cluster: ClusterId) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Holdfast cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

#[cfg(test)]
mod tests {
    use super::{Authority, generate_key, public_key};
    use holdfast_core::ids::{ClusterId, NodeId};

    #[test]
    fn a_malformed_public_key_is_refused() {
        let authority = Authority::generate(ClusterId(7)).expect("authority");
        assert!(authority.admit(NodeId(1), b"short").is_err());
        assert!(authority.admit(NodeId(1), &[0; 65]).is_err());
        let key = generate_key().expect("key");
        assert!(authority.admit(NodeId(1), &public_key(&key).expect("public")).is_ok());
    }

    #[test]
    fn an_authority_signs_alike_after_a_restart() {
        let made = Authority::generate(ClusterId(7)).expect("authority");
        let again = Authority::load(ClusterId(7), made.certificate().to_vec(), &made.key()).expect("load");
        assert_eq!(made.key(), again.key());
        assert!(Authority::load(ClusterId(7), made.certificate().to_vec(), b"no key").is_err());
    }
}
