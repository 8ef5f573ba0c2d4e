//! Trusting a cluster that was never seen before: by the fingerprint of its authority, from the join token.
//!
//! The founder sends its authority's certificate along with its own. The one whose SHA-256 is the token's becomes the
//! only root for this connection, and the ordinary verification does the rest; nothing of it is skipped.

use crate::identity::authority::fingerprint;
use crate::peer::provider;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
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

/// Accepts members of the cluster whose authority has this fingerprint.
#[derive(Debug)]
pub struct PinnedAuthority(pub [u8; 32]);

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates
            .iter()
            .find(|certificate| fingerprint(certificate) == self.0);
        let wrong = || Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(WrongAuthority))));
        let mut roots = RootCertStore::empty();
        roots.add(pinned.ok_or_else(wrong)?.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
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
