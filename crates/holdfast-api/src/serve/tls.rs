//! TLS on the public ports, with a certificate that can be replaced while serving.
//!
//! A reload that fails leaves the certificate in use; connections under way keep the one they began with.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::TlsFiles;

/// Why a certificate could not be used.
#[derive(Debug)]
pub enum TlsError {
    /// A file could not be read as PEM.
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file holds no certificate.
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// Certificate and key do not belong together, or the key is of an unknown kind.
    Unusable {
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read { path, reason } => write!(
                f,
                "cannot read {}: {reason}; it must be a PEM file that this user may read",
                path.display()
            ),
            Self::NoCertificate { path } => write!(
                f,
                "{} holds no certificate; expected PEM with BEGIN CERTIFICATE",
                path.display()
            ),
            Self::Unusable { reason } => {
                write!(
                    f,
                    "certificate and key cannot be used: {reason}; check that they belong together"
                )
            }
        }
    }
}

impl std::error::Error for TlsError {}

/// Which protocols a port offers during the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alpn {
    Http1,
    Http2,
}

/// Does handshakes.
#[derive(Clone)]
pub(super) struct Acceptor(TlsAcceptor);

impl Acceptor {
    pub(super) fn accept(&self, stream: tokio::net::TcpStream) -> tokio_rustls::Accept<tokio::net::TcpStream> {
        self.0.accept(stream)
    }
}

/// Replaces certificate and key of running front ends from their files.
#[derive(Clone, Debug)]
pub struct TlsReloader {
    files: Arc<TlsFiles>,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A panic while the lock was held cannot have left half a pointer.
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl TlsReloader {
    /// Reads certificate and key for the first time.
    ///
    /// # Errors
    /// When a file cannot be read or the two do not fit.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let key = read(&files)?;
        Ok(Self {
            files: Arc::new(files),
            current: Arc::new(Current(RwLock::new(key))),
        })
    }

    /// Reads both files again; new connections use what they hold now.
    ///
    /// # Errors
    /// When a file cannot be read or the two do not fit; the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let key = read(&self.files)?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    pub(super) fn acceptor(&self, alpn: Alpn) -> Result<Acceptor, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable {
                reason: error.to_string(),
            })?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&self.current);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = match alpn {
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
            Alpn::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        // Tickets let clients resume without the server keeping sessions.
        if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }
}

fn read(files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let unreadable = |path: &PathBuf, error: rustls::pki_types::pem::Error| TlsError::Read {
        path: path.clone(),
        reason: error.to_string(),
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(&files.certificate, error))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: files.certificate.clone(),
        });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unreadable(&files.key, error))?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    certified.map(Arc::new).map_err(|error| TlsError::Unusable {
        reason: error.to_string(),
    })
}
