//! TLS on both ports, and a certificate replaced while serving.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_api::serve::{ApiConfig, BindError, Frontends, TlsFiles};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::server::Server;
use crate::sign::call;

/// A directory of this test alone, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("holdfast-api-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.0.join("certificate.pem"),
            key: self.0.join("key.pem"),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write_certificate(files: &TlsFiles) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    StreamOwned::new(connection, socket)
}

fn request(address: SocketAddr, trusted: &CertificateDer<'static>, request: &[u8]) -> Result<String, String> {
    let mut stream = connect(address, trusted, &[]);
    stream.write_all(request).map_err(|error| error.to_string())?;
    let mut reply = vec![0; 64 * 1024];
    let read = stream.read(&mut reply).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&reply[..read]).into_owned())
}

#[test]
fn both_ports_speak_tls_and_reload_their_certificate() {
    let directory = Directory::new("tls");
    let files = directory.files();
    let first = write_certificate(&files);
    let server = Server::start_with(|config| config.tls = Some(files.clone()));
    let list = call("GET", "/").bytes();
    let live = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    assert!(request(server.s3, &first, &list).unwrap().starts_with("HTTP/1.1 200"));
    assert!(request(server.rest, &first, live).unwrap().starts_with("HTTP/1.1 200"));

    let reloader = server.tls.as_ref().unwrap();
    std::fs::write(&files.certificate, "not a certificate").unwrap();
    assert!(reloader.reload().is_err());
    assert!(
        request(server.s3, &first, &list).is_ok(),
        "a failed reload must leave the old one in use"
    );

    let second = write_certificate(&files);
    reloader.reload().unwrap();
    assert!(request(server.s3, &first, &list).is_err());
    assert!(request(server.s3, &second, &list).unwrap().starts_with("HTTP/1.1 200"));
    assert!(request(server.rest, &second, live).unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_what_to_do() {
    let objects = || Arc::new(holdfast_api::memory::MemoryObjects::default());
    let any = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = |s3: Vec<SocketAddr>, tls: Option<TlsFiles>| ApiConfig {
        s3_addresses: s3,
        rest_addresses: any.clone(),
        tls,
        ..ApiConfig::default()
    };
    let in_use = Frontends::bind(config(vec![taken.local_addr().unwrap()], None), objects()).await;
    let told = in_use.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("S3") && told.contains("choose another port"), "{told}");
    let nowhere = Frontends::bind(config(Vec::new(), None), objects()).await;
    assert!(matches!(nowhere, Err(BindError::NoAddress { .. })));
    let missing = TlsFiles {
        certificate: Path::new("/nonexistent/certificate.pem").to_owned(),
        key: Path::new("/nonexistent/key.pem").to_owned(),
    };
    let missing = Frontends::bind(config(any.clone(), Some(missing)), objects()).await;
    let told = missing.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("/nonexistent/certificate.pem"), "{told}");
}

/// gRPC clients insist on it.
#[test]
fn rest_offers_http2_and_s3_does_not() {
    let directory = Directory::new("alpn");
    let files = directory.files();
    let trusted = write_certificate(&files);
    let server = Server::start_with(|config| config.tls = Some(files.clone()));
    assert_eq!(negotiated(server.rest, &trusted), b"h2");
    assert_eq!(negotiated(server.s3, &trusted), b"http/1.1");
}

/// The protocol that a server chooses when it may choose either.
fn negotiated(address: SocketAddr, trusted: &CertificateDer<'static>) -> Vec<u8> {
    let mut stream = connect(address, trusted, &[b"h2", b"http/1.1"]);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream.conn.alpn_protocol().unwrap_or_default().to_vec()
}
