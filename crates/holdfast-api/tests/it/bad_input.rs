//! Requests that are wrong on purpose: each gets an answer that says so, and nothing is stored half.

use std::time::{Duration, Instant, SystemTime};

use crate::client::{Client, exchange};
use crate::server::{Server, TOKEN};
use crate::sign::{amz_date, call};

fn with_bucket() -> Server {
    let server = Server::start();
    assert_eq!(call("PUT", "/things").s3(&server).status, 200);
    server
}

fn is_stored(server: &Server) -> bool {
    call("GET", "/things/k").s3(server).status == 200
}

#[test]
fn a_truncated_body_stores_nothing() {
    let server = with_bucket();
    for bytes in [1_000, 3_000_000] {
        let (head, body) = call("PUT", "/things/k").body(vec![7; bytes]).parts();
        let mut client = Client::connect(server.s3);
        client.send(&head);
        client.send(&body[..bytes / 2]);
        client.end_sending();
        if let Some(reply) = client.reply(false) {
            assert_eq!((reply.status, reply.code().as_str()), (400, "IncompleteBody"));
        }
        assert!(!is_stored(&server));
    }
    assert_eq!(server.memory.parts_stored(), 0);
}

#[test]
fn a_client_that_goes_away_stores_nothing() {
    let server = with_bucket();
    let (head, body) = call("PUT", "/things/k").body(vec![7; 3_000_000]).parts();
    let mut client = Client::connect(server.s3);
    client.send(&head);
    client.send(&body[..2_999_999]);
    drop(client);
    // Another request behind it is answered only once the first has been noticed, on one worker thread.
    std::thread::sleep(Duration::from_millis(200));
    assert!(!is_stored(&server));
    assert_eq!(server.memory.parts_stored(), 0);
}

#[test]
fn headers_beyond_the_limit_are_refused_not_hung() {
    let server = with_bucket();
    let large = call("GET", "/things/k")
        .header("x-amz-meta-a", &"x".repeat(40_000))
        .s3(&server);
    assert_eq!(
        (large.status, large.code().as_str()),
        (400, "RequestHeaderSectionTooLarge")
    );
    assert!(large.header("x-amz-request-id").is_some());
    let mut huge = b"GET /things/k HTTP/1.1\r\nhost: x\r\nx-large: ".to_vec();
    huge.resize(huge.len() + 10_000_000, b'x');
    huge.extend_from_slice(b"\r\n\r\n");
    for port in [server.s3, server.rest] {
        let started = Instant::now();
        let reply = exchange(port, &huge);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (431, "RequestHeaderSectionTooLarge")
        );
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    let mut many = b"GET /things/k HTTP/1.1\r\nhost: x\r\n".to_vec();
    for number in 0..10_000 {
        many.extend_from_slice(format!("x-{number}: y\r\n").as_bytes());
    }
    many.extend_from_slice(b"\r\n");
    assert_eq!(exchange(server.s3, &many).status, 431);
    let rest = format!(
        "GET /v1/buckets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nx-a: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    assert_eq!(
        exchange(server.rest, rest.as_bytes()).json()["error"],
        "headers_too_large"
    );
}

#[test]
fn garbage_is_answered_and_closed() {
    let server = Server::start();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello TLS"[..],
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /a b c HTTP/1.1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ] {
        for port in [server.s3, server.rest] {
            let mut client = Client::connect(port);
            client.send(garbage);
            client.send(b"\r\n\r\n");
            client.end_sending();
            if let Some(reply) = client.reply(false) {
                assert!((400..500).contains(&reply.status), "{} to {garbage:?}", reply.status);
            }
            assert!(client.is_closed());
        }
    }
    assert_eq!(call("GET", "/").s3(&server).status, 200);
}

#[test]
fn signatures_that_are_wrong_old_or_of_another_kind() {
    let server = with_bucket();
    let mut wrong = call("PUT", "/things/k").body("x");
    wrong.secret = "another".to_owned();
    assert_eq!(wrong.s3(&server).code(), "SignatureDoesNotMatch");
    let mut nobody = call("PUT", "/things/k").body("x");
    nobody.key = "HFNOBODY000000000000".to_owned();
    assert_eq!(nobody.s3(&server).code(), "InvalidAccessKeyId");
    for late_s in [16 * 60, 3 * 86_400] {
        let mut late = call("PUT", "/things/k").body("x");
        late.late_s = late_s;
        let reply = late.s3(&server);
        assert_eq!((reply.status, reply.code().as_str()), (403, "RequestTimeTooSkewed"));
    }
    let unsigned = b"PUT /things/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx";
    assert_eq!(exchange(server.s3, unsigned).code(), "AccessDenied");
    let v2 = b"PUT /things/k HTTP/1.1\r\nhost: x\r\nauthorization: AWS AK:c2ln\r\ncontent-length: 1\r\n\r\nx";
    assert_eq!(exchange(server.s3, v2).code(), "InvalidRequest");
    let date = amz_date(SystemTime::now());
    let presigned = format!(
        "GET /things/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F{}%2Fus-east-1%2Fs3%2Faws4_request&\
         X-Amz-Date={date}&X-Amz-Expires=604801&X-Amz-SignedHeaders=host&X-Amz-Signature=00 HTTP/1.1\r\nhost: x\r\n\r\n",
        &date[..8]
    );
    assert_eq!(
        exchange(server.s3, presigned.as_bytes()).code(),
        "AuthorizationQueryParametersError"
    );
    assert!(!is_stored(&server));
}

#[test]
fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let server = with_bucket();
    let mut wrong = call("PUT", "/things/k").body(vec![1; 20_000_000]);
    wrong.secret = "another".to_owned();
    let mut client = Client::connect(server.s3);
    client.send(&wrong.bytes());
    assert_eq!(client.reply(false).unwrap().code(), "SignatureDoesNotMatch");
    // The connection is good for the next request.
    client.send(&call("GET", "/things").bytes());
    assert_eq!(client.reply(false).unwrap().status, 200);
}

#[test]
fn expectations_are_met_before_the_answer() {
    let server = with_bucket();
    let mut client = Client::connect(server.s3);
    // An empty body: nothing to wait for, but clients do.
    client.send(&call("PUT", "/things/k").header("expect", "100-continue").bytes());
    assert_eq!(client.reply(false).unwrap().status, 100);
    assert_eq!(client.reply(false).unwrap().status, 200);
    let (head, body) = call("PUT", "/things/k")
        .header("expect", "100-continue")
        .body("later")
        .parts();
    client.send(&head);
    assert_eq!(client.reply(false).unwrap().status, 100);
    client.send(&body);
    assert_eq!(client.reply(false).unwrap().status, 200);
    // Refused without the body: what follows on the connection cannot be told from it, so it is closed.
    let mut wrong = call("PUT", "/things/k")
        .header("expect", "100-continue")
        .body("never sent");
    wrong.secret = "another".to_owned();
    client.send(&wrong.parts().0);
    let reply = client.reply(false).unwrap();
    assert_eq!((reply.status, reply.header("connection")), (403, Some("close")));
    assert!(client.is_closed());
    assert_eq!(call("GET", "/things/k").s3(&server).text(), "later");
}

#[test]
fn documents_and_numbers_that_make_no_sense() {
    let server = with_bucket();
    let post = |query: &str, body: &str| call("POST", "/things/k").query(query, "x").body(body).s3(&server);
    assert_eq!(post("uploadId", "<CompleteMultipartUpload>").status, 400);
    assert_eq!(post("uploadId", "not xml at all").status, 400);
    let part = |number: &str| {
        let id = "0".repeat(32);
        let put = call("PUT", "/things/k")
            .query("partNumber", number)
            .query("uploadId", &id);
        put.body("x").s3(&server).code()
    };
    for number in ["0", "10001", "-1"] {
        assert_eq!(part(number), "InvalidArgument", "{number}");
    }
    assert_eq!(part("1"), "NoSuchUpload");
    let long = format!("/things/{}", "k".repeat(1025));
    assert_eq!(call("PUT", &long).body("x").s3(&server).code(), "KeyTooLongError");
    let metadata = call("PUT", "/things/k")
        .header("x-amz-meta-a", &"x".repeat(2_100))
        .s3(&server);
    assert_eq!(metadata.code(), "MetadataTooLarge");
    let mut huge = call("PUT", "/things/k").header("x-amz-decoded-content-length", "6000000000000");
    huge.framing = crate::sign::Framing::Unsigned;
    assert_eq!(huge.s3(&server).code(), "EntityTooLarge");
    assert!(!is_stored(&server));
}
