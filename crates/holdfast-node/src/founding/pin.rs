//! Whom a joining node lets show its certificate, before it knows anything of the cluster.
//!
//! A founder sends its authority's certificate along with its own. With a token, the one whose SHA-256 is the token's becomes
//! the only root for this connection. With a secret that all nodes were given there is nothing to compare with yet: then any
//! authority will do for the handshake, nothing but a proof is said over the connection, and the certificate shown is part of
//! what both sides prove (`proof.rs`). The ordinary verification of the node's certificate against that root is done in both cases.

use crate::identity::authority::fingerprint;
use crate::peer::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The other side belongs to another cluster than the token does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongAuthority;

impl std::fmt::Display for WrongAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the node at this address is not of the cluster that the join token is for")
    }
}

impl std::error::Error for WrongAuthority {}

/// Which authorities may vouch for a founder.
#[derive(Clone, Copy, Debug)]
pub enum Trusted {
    /// The one with this fingerprint.
    Pinned([u8; 32]),
    /// Whichever it shows: it will have to be proved.
    Any,
}

impl Trusted {
    /// The certificate that is taken for the authority's: what is compared, verified against and proved over is the same one.
    pub fn authority<'a, 'b>(&self, sent_along: &'a [CertificateDer<'b>]) -> Option<&'a CertificateDer<'b>> {
        match self {
            Self::Pinned(pinned) => sent_along
                .iter()
                .find(|certificate| fingerprint(certificate) == *pinned),
            Self::Any => sent_along.first(),
        }
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let wrong = || Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(WrongAuthority))));
        let mut roots = RootCertStore::empty();
        roots.add(self.authority(intermediates).ok_or_else(wrong)?.clone().into_owned())?;
        let algorithms = provider().signature_verification_algorithms;
        match self {
            Self::Pinned(_) => WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|error| Error::General(error.to_string()))?
                .verify_server_cert(end_entity, &[], server_name, ocsp_response, now),
            // The name of a cluster that is not known yet cannot be asked for.
            Self::Any => {
                let node = ParsedCertificate::try_from(end_entity)?;
                verify_server_cert_signed_by_trust_anchor(&node, &roots, &[], now, algorithms.all)?;
                Ok(ServerCertVerified::assertion())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
