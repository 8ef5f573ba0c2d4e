//! Bounds: slow clients, too many of them, and the end.

use std::time::{Duration, Instant};

use crate::client::{Client, exchange};
use crate::server::{Server, TOKEN};
use crate::sign::call;

#[test]
fn a_client_that_stops_sending_is_told_and_stores_nothing() {
    let server = Server::start_with(|config| config.limits.body_patience = Duration::from_millis(300));
    assert_eq!(call("PUT", "/things").s3(&server).status, 200);
    let (head, body) = call("PUT", "/things/k").body(vec![7; 1_000]).parts();
    let mut client = Client::connect(server.s3);
    client.send(&head);
    client.send(&body[..500]);
    let started = Instant::now();
    let reply = client.reply(false).unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (400, "RequestTimeout"));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(call("GET", "/things/k").s3(&server).status, 404);
}

#[test]
fn a_client_that_never_ends_its_headers_is_closed() {
    let server = Server::start_with(|config| config.limits.header_patience = Duration::from_millis(300));
    for port in [server.s3, server.rest] {
        let mut client = Client::connect(port);
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\n");
        let started = Instant::now();
        if let Some(reply) = client.reply(false) {
            assert_eq!(reply.status, 408);
        }
        assert!(client.is_closed());
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// So many S3 connections that were served and stay open.
fn hold(server: &Server, count: usize) -> Vec<Client> {
    let held = (0..count).map(|_| {
        let mut client = Client::connect(server.s3);
        client.send(&call("GET", "/").bytes());
        assert_eq!(client.reply(false).unwrap().status, 200);
        client
    });
    held.collect()
}

#[test]
fn one_connection_too_many_is_turned_away_with_a_reason() {
    let server = Server::start_with(|config| config.limits.connections_max = 2);
    let held = hold(&server, 2);
    let reply = exchange(server.s3, &call("GET", "/").bytes());
    assert_eq!((reply.status, reply.code().as_str()), (503, "SlowDown"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    let reply = exchange(server.rest, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(
        (reply.status, reply.json()["error"].as_str()),
        (503, Some("overloaded"))
    );
    assert_eq!(reply.header("retry-after"), Some("1"));
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(10);
    while exchange(server.s3, &call("GET", "/").bytes()).status != 200 {
        assert!(Instant::now() < deadline, "the places were never given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whoever wants to know what is wrong must get in.
#[test]
fn s3_leaves_places_to_rest() {
    let server = Server::start_with(|config| config.limits.connections_max = 32);
    let held = hold(&server, 30);
    assert_eq!(exchange(server.s3, &call("GET", "/").bytes()).status, 503);
    let live = exchange(server.rest, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(live.status, 200);
    drop(held);
}

/// A document is read before it is known who sends it, so nobody may keep his place by stopping in the middle of one.
#[test]
fn a_document_that_stops_coming_is_given_up() {
    let server = Server::start_with(|config| config.limits.body_patience = Duration::from_millis(200));
    let mut client = Client::connect(server.s3);
    client.send(
        b"POST /things?delete HTTP/1.1\r\nhost: x\r\ncontent-md5: 1B2M2Y8AsgTpgAmY7PhCfg==\r\ncontent-length: 1000\r\n\r\n\
          <Delete>",
    );
    let started = Instant::now();
    assert_eq!(client.reply(false).unwrap().status, 400);
    assert!(client.is_closed());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn stopping_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut server = Server::start();
    assert_eq!(call("PUT", "/things").s3(&server).status, 200);
    let (head, body) = call("PUT", "/things/k")
        .header("expect", "100-continue")
        .body("slowly")
        .parts();
    let mut under_way = Client::connect(server.s3);
    under_way.send(&head);
    // Said when the handler reads the body: from here on the put is under way.
    assert_eq!(under_way.reply(false).unwrap().status, 100);
    let mut idle = Client::connect(server.s3);
    idle.send(&call("GET", "/").bytes());
    assert_eq!(idle.reply(false).unwrap().status, 200);
    server.tell_to_stop();
    assert!(idle.is_closed(), "an idle connection outlived the server");
    under_way.send(&body);
    assert_eq!(under_way.reply(false).unwrap().status, 200);
    server.wait_stopped();
    assert!(std::net::TcpStream::connect(server.s3).is_err());
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let mut server = Server::start_with(|config| config.limits.drain = Duration::from_millis(300));
    assert_eq!(call("PUT", "/things").s3(&server).status, 200);
    let (head, _) = call("PUT", "/things/k")
        .header("expect", "100-continue")
        .body("never")
        .parts();
    let mut under_way = Client::connect(server.s3);
    under_way.send(&head);
    assert_eq!(under_way.reply(false).unwrap().status, 100);
    let started = Instant::now();
    server.tell_to_stop();
    server.wait_stopped();
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn requests_are_counted() {
    let server = Server::start();
    assert_eq!(call("PUT", "/counted-bucket").s3(&server).status, 200);
    let page = exchange(server.rest, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").text();
    let line = "holdfast_requests_total{front_end=\"s3\",operation=\"CreateBucket\",status=\"200\"}";
    assert!(page.contains(line), "{page}");
    assert!(page.contains("holdfast_request_seconds_bucket"), "{page}");
    let rest = format!("GET /v1/cluster HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    assert_eq!(exchange(server.rest, rest.as_bytes()).status, 200);
}
