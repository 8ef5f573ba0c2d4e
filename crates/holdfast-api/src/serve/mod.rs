//! Sockets: binding, accepting, TLS, limits, draining, the access log.
//!
//! [`Frontends::bind`] opens both ports, so that a port in use is an error before anything else starts;
//! [`Frontends::run`] serves until told to stop, then lets requests under way finish until a deadline. Each connection
//! is one task; a request runs in it without another hop.
//!
//! S3 speaks HTTP/1.1 only, as AWS does: an SDK that negotiates HTTP/2 puts all its parallel parts on one connection
//! and gets slower. REST speaks both, and gRPC shares its port.

mod access_log;
mod config;
mod connection;
mod io;
mod listen;
mod meters;
mod pulse;
mod request_body;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use access_log::RequestNote;
pub(crate) use access_log::{Metered, Ticket};
pub use config::{ApiConfig, Limits, TlsFiles};
pub(crate) use connection::{Peer, Stopping};
pub use listen::BindError;
pub(crate) use meters::metrics_page;
pub(crate) use pulse::{Pulse, pulse};
pub(crate) use request_body::{BodyError, RequestBody, STALLED};
pub use tls::{TlsError, TlsReloader};

use crate::grpc::GrpcApp;
use crate::objects::Objects;
use crate::rest::RestApp;
use crate::s3::S3App;
use connection::Protocol;
use listen::Listener;
use tls::{Acceptor, Alpn};

/// Directives for `tracing-subscriber`'s filter that belong behind the user's own: `s3s` logs every 404 as an error,
/// and every request at `debug` with its headers.
pub const LOG_DIRECTIVES: &str = "s3s=off,hyper=warn,h2=warn,rustls=warn,tower=warn,tonic=warn";

/// Both ports, open but not yet served.
pub struct Frontends {
    s3: Port,
    rest: Port,
    tls: Option<TlsReloader>,
    limits: Limits,
}

/// A port with what is spoken on it.
struct Port {
    listener: Listener,
    protocol: Protocol,
    tls: Option<Acceptor>,
}

impl Frontends {
    /// Opens the ports. With certificate and key in the configuration both speak TLS.
    ///
    /// # Errors
    /// When an address cannot be bound, or certificate or key cannot be read; the error says which and what to do.
    pub async fn bind(config: ApiConfig, objects: Arc<dyn Objects>) -> Result<Self, BindError> {
        meters::install();
        let tls = config
            .tls
            .clone()
            .map(TlsReloader::load)
            .transpose()
            .map_err(BindError::Tls)?;
        let acceptor = |alpn| {
            tls.as_ref()
                .map(|tls| tls.acceptor(alpn))
                .transpose()
                .map_err(BindError::Tls)
        };
        let s3 = Port {
            listener: Listener::bind("S3", &config.s3_addresses).await?,
            protocol: Protocol::S3(Arc::new(S3App::new(&config, Arc::clone(&objects)))),
            tls: acceptor(Alpn::Http1)?,
        };
        let rest = Port {
            listener: Listener::bind("REST", &config.rest_addresses).await?,
            protocol: Protocol::Rest(
                Arc::new(RestApp::new(&config, Arc::clone(&objects))),
                Arc::new(GrpcApp::new(&config, objects)),
            ),
            tls: acceptor(Alpn::Http2)?,
        };
        Ok(Self {
            s3,
            rest,
            tls,
            limits: config.limits,
        })
    }

    /// Where S3 listens; the ports are the real ones when the configuration asked for any.
    #[must_use]
    pub fn s3_addresses(&self) -> Vec<SocketAddr> {
        self.s3.listener.addresses()
    }

    /// Where REST listens.
    #[must_use]
    pub fn rest_addresses(&self) -> Vec<SocketAddr> {
        self.rest.listener.addresses()
    }

    /// Reloads certificate and key when told to; nothing to reload without TLS.
    #[must_use]
    pub fn tls_reloader(&self) -> Option<TlsReloader> {
        self.tls.clone()
    }

    /// Serves until `shutdown` resolves, then lets requests under way finish until the drain deadline.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopping) = watch::channel(false);
        let gate = listen::Gate::new(&self.limits);
        let mut ports = JoinSet::new();
        for port in [self.s3, self.rest] {
            ports.spawn(port.listener.serve(
                port.protocol,
                port.tls,
                gate.clone(),
                stopping.clone(),
                self.limits.drain,
            ));
        }
        shutdown.await;
        // A receiver that is gone has nothing left to stop.
        let _ = stop.send(true);
        while ports.join_next().await.is_some() {}
    }
}
