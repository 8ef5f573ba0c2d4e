//! One connection: handshake, hyper, and the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;

use super::Limits;
use super::io::{ClientIo, ContinueFirst, Stream};
use super::listen::Accepted;
use super::tls::Acceptor;
use crate::grpc::{self, GrpcApp};
use crate::rest::RestApp;
use crate::s3::S3App;

/// Requests at once on one HTTP/2 connection. A browser's habit is some hundred, but each may hold an answer that nobody reads.
const HTTP2_STREAMS_MAX: u32 = 64;
/// Bytes that an HTTP/2 connection may send before anybody reads them: they lie in memory until somebody does. Of one request,
/// and of all of them together.
const HTTP2_STREAM_BYTES_MAX: u32 = 128 * 1024;
const HTTP2_CONNECTION_BYTES_MAX: u32 = 512 * 1024;

/// How often an HTTP/2 client is asked whether it is there, and how long it may take to say so.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
const HTTP2_PONG_WITHIN: Duration = Duration::from_secs(20);

/// What is spoken on a port.
#[derive(Clone)]
pub(super) enum Protocol {
    S3(Arc<S3App>),
    /// The second is gRPC, for requests that say so.
    Rest(Arc<RestApp>, Arc<GrpcApp>),
}

/// What a request may need to know of its connection.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    pub(crate) continue_first: ContinueFirst,
    pub(crate) stopping: Stopping,
}

/// Tells what would go on for ever that the server is to stop.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Resolves when it is.
    pub(crate) async fn told(mut self) {
        told_to_stop(&mut self.0).await;
    }
}

/// Serves a connection to its end, or until told to stop: then the request under way is finished and no other taken.
pub(super) async fn serve(
    accepted: Accepted,
    protocol: Protocol,
    tls: Option<Acceptor>,
    limits: Limits,
    stopping: watch::Receiver<bool>,
) {
    let Accepted { stream, remote, place } = accepted;
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(acceptor) => match tokio::time::timeout(limits.handshake_patience, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%remote, %error, "TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!(%remote, "TLS handshake took too long");
                return;
            }
        },
    };
    let peer = Peer {
        remote,
        continue_first: ContinueFirst::default(),
        stopping: Stopping(stopping.clone()),
    };
    let io = TokioIo::new(ClientIo::new(stream, peer.continue_first.clone(), place));
    match protocol {
        Protocol::S3(app) => serve_s3(io, app, peer, limits, stopping).await,
        Protocol::Rest(rest, grpc) => serve_rest(io, rest, grpc, peer, limits, stopping).await,
    }
}

async fn serve_s3(
    io: TokioIo<ClientIo>,
    app: Arc<S3App>,
    peer: Peer,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let remote = peer.remote;
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, peer) = (Arc::clone(&app), peer.clone());
        async move { Ok::<Response<_>, Infallible>(app.answer(request, &peer).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_patience)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = told_to_stop(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "connection ended early");
    }
}

async fn serve_rest(
    io: TokioIo<ClientIo>,
    rest: Arc<RestApp>,
    grpc: Arc<GrpcApp>,
    peer: Peer,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let remote = peer.remote;
    let service = service_fn(move |request: Request<Incoming>| {
        let (rest, grpc, peer) = (Arc::clone(&rest), Arc::clone(&grpc), peer.clone());
        async move {
            Ok::<Response<_>, Infallible>(if grpc::is_grpc(&request) {
                grpc.answer(request, &peer).await
            } else {
                rest.answer(request, &peer).await
            })
        }
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_patience);
    builder
        .http2()
        .timer(TokioTimer::new())
        // Who has vanished while nothing was sent to him would keep his place for ever.
        .keep_alive_interval(HTTP2_PING_EVERY)
        .keep_alive_timeout(HTTP2_PONG_WITHIN)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .initial_stream_window_size(HTTP2_STREAM_BYTES_MAX)
        .initial_connection_window_size(HTTP2_CONNECTION_BYTES_MAX)
        .max_send_buf_size(HTTP2_STREAM_BYTES_MAX as usize)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX));
    let connection = builder.serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = told_to_stop(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "connection ended early");
    }
}

/// Resolves when the server is told to stop, or has gone.
pub(super) async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    // The value is borrowed under a lock, which must not be held any longer.
    let _ = stopping.wait_for(|stop| *stop).await;
}
