//! Clients that stop, cancel, lie or send too much: what they did not end is not written.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use h2::Reason;
use holdfast_proto::v1;
use http::Method;
use tonic::Code;

use super::{Clients, asked, data_part, header, header_part, tell, told};
use crate::http2::{begin, framed};
use crate::server::{Server, TOKEN};

const PUT: &str = "/holdfast.v1.Objects/Put";

fn grpc_headers(bearer: &str) -> [(&'static str, &str); 3] {
    [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", bearer),
    ]
}

/// A stream that its client breaks off looks like one that has ended, to hyper in one way and to tonic in another. Were it taken
/// for one, a cancelled upload would be acknowledged by nobody and stored by everybody, cut short.
#[test]
fn an_upload_that_is_broken_off_is_not_written() {
    let server = Server::start();
    let bearer = format!("Bearer {TOKEN}");
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
            let mut put = begin(server.rest, Method::POST, PUT, &grpc_headers(&bearer)).await;
            put.send(framed(&header_part(header("half"))));
            put.send(framed(&data_part(b"the first half")));
            put.reset(reason).await;
            assert!(clients.stat("half").await.versions.is_empty(), "{reason}");
        }
        // The same over REST, whose bodies need not tell their length either.
        for reason in [Reason::CANCEL, Reason::NO_ERROR] {
            let path = "/v1/buckets/things/objects/half";
            let mut put = begin(server.rest, Method::PUT, path, &[("authorization", &bearer)]).await;
            put.send("the first half");
            put.reset(reason).await;
            assert!(clients.stat("half").await.versions.is_empty(), "{reason}");
        }
        let parts = stream::iter([header_part(header("half")), data_part(b"x")]).chain(stream::pending());
        let put = tokio::time::timeout(Duration::from_millis(300), clients.objects.put(parts));
        assert!(put.await.is_err(), "nobody ended it");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(clients.stat("half").await.versions.is_empty());
    });
}

#[test]
fn a_client_that_stops_sending_is_told_and_stores_nothing() {
    let server = Server::start_with(|config| config.limits.body_patience = Duration::from_millis(300));
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        for parts in [vec![], vec![header_part(header("k")), data_part(b"x")]] {
            let began = Instant::now();
            let stalled = clients
                .objects
                .put(stream::iter(parts).chain(stream::pending()))
                .await
                .unwrap_err();
            assert_eq!(
                (stalled.code(), told(&stalled, "holdfast-error")),
                (Code::Aborted, "stalled")
            );
            assert!(began.elapsed() < Duration::from_secs(5));
        }
        assert!(clients.stat("k").await.versions.is_empty());
    });
}

#[test]
fn streams_that_are_not_a_header_and_bytes_are_refused() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        let nothing = v1::PutObjectRequest { part: None };
        for parts in [
            vec![],
            vec![data_part(b"x")],
            vec![nothing.clone()],
            vec![header_part(header("k")), data_part(b"x"), header_part(header("k"))],
            vec![header_part(header("k")), nothing],
        ] {
            let refused = clients.objects.put(stream::iter(parts)).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        }
        let parts = [header_part(header("k")), data_part(&vec![0; 1024 * 1024])];
        clients.objects.put(stream::iter(parts)).await.unwrap();
        let before = clients.stat("k").await.versions;
        let parts = [header_part(header("k")), data_part(&vec![0; 2 * 1024 * 1024])];
        let refused = clients.objects.put(stream::iter(parts)).await.unwrap_err();
        assert_eq!(
            (refused.code(), told(&refused, "holdfast-error")),
            (Code::InvalidArgument, "message_too_large")
        );
        assert_eq!(clients.stat("k").await.versions, before);
    });
}

/// The client here keeps no time of its own, as one whose clock stands still.
#[test]
fn the_server_keeps_deadlines() {
    let server = Server::start();
    let bearer = format!("Bearer {TOKEN}");
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        let call = async |path: &str, timeout: &str, message: bytes::Bytes| {
            let mut headers = grpc_headers(&bearer).to_vec();
            headers.push(("grpc-timeout", timeout));
            let mut call = begin(server.rest, Method::POST, path, &headers).await;
            call.send(message);
            call
        };
        let mut watch = call("/holdfast.v1.Cluster/Watch", "300m", framed(&v1::WatchRequest {})).await;
        watch.end();
        let began = Instant::now();
        let watched = watch.answer().await;
        assert_eq!(
            (watched.status, watched.told("grpc-status")),
            (200, Some("4")),
            "{watched:?}"
        );
        assert_eq!(watched.told("holdfast-error"), Some("deadline_passed"));
        assert!(began.elapsed() < Duration::from_secs(5));

        let put = call(PUT, "300m", framed(&header_part(header("late")))).await;
        let put = put.answer().await;
        assert_eq!(
            (put.told("grpc-status"), put.told("holdfast-state-changed")),
            (Some("4"), Some("unknown"))
        );
        assert!(clients.stat("late").await.versions.is_empty());

        let malformed = call("/holdfast.v1.Cluster/View", "soon", framed(&v1::ViewRequest {})).await;
        assert_eq!(malformed.answer().await.told("grpc-status"), Some("3"));
        let mut view = call("/holdfast.v1.Cluster/View", "1H", framed(&v1::ViewRequest {})).await;
        view.end();
        assert_eq!(view.answer().await.told("grpc-status"), Some("0"));
    });
}

#[test]
fn what_is_not_a_call_is_told_so() {
    let server = Server::start();
    let bearer = format!("Bearer {TOKEN}");
    tell(&server, async |mut clients: Clients| {
        let mut unknown = begin(
            server.rest,
            Method::POST,
            "/holdfast.v1.Objects/Guess",
            &grpc_headers(&bearer),
        )
        .await;
        unknown.end();
        assert_eq!(unknown.answer().await.told("grpc-status"), Some("12"));
        // REST is spoken on the same port and by the same protocol.
        let mut rest = begin(server.rest, Method::GET, "/v1/cluster", &[("authorization", &bearer)]).await;
        rest.end();
        assert_eq!(rest.answer().await.status, 200);
        let mut other = asked("k");
        other.key = "k".repeat(2_000_000);
        assert_eq!(clients.get(other).await.unwrap_err().code(), Code::OutOfRange);
    });
}
