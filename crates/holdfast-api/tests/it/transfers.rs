//! Direct transfers over a cluster in memory: what is told of where bytes lie, and what a grant lets its holder do and what not.

use serde_json::Value;

use crate::client::{Reply, exchange};
use crate::server::{KEY, Server, TOKEN};
use crate::sign::call;

const LARGE: usize = 9 << 20;
/// CRC-64/NVME of the bytes that the tests send as a part.
const PART: &[u8] = b"123456789";
const PART_CRC: &str = "rosUhgp5mIg=";

fn ask(server: &Server, method: &str, path: &str, authorization: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    exchange(server.rest, &request)
}

fn admin(server: &Server, method: &str, path: &str, body: &[u8]) -> Reply {
    ask(server, method, path, &format!("Bearer {TOKEN}"), &[], body)
}

fn with_object(body: &[u8]) -> Server {
    let server = Server::start();
    assert_eq!(admin(&server, "PUT", "/v1/buckets/things", b"").status, 201);
    let put = admin(&server, "PUT", "/v1/buckets/things/objects/a", body);
    assert_eq!(put.status, 201, "{}", put.text());
    server
}

fn large() -> Vec<u8> {
    (0..LARGE as u32).map(|at| (at.wrapping_mul(at) >> 9) as u8).collect()
}

fn plan(server: &Server, query: &str) -> Value {
    let reply = admin(server, "GET", &format!("/v1/buckets/things/transfers/a{query}"), b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn grant(of: &Value) -> String {
    format!("Grant {}", of["grant"].as_str().unwrap())
}

fn error(reply: &Reply) -> (u16, String) {
    (
        reply.status,
        reply.json()["error"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn a_large_object_is_read_with_grants_piece_by_piece() {
    let body = large();
    let server = with_object(&body);
    let told = plan(&server, "");
    assert_eq!(
        (told["size"].as_u64(), told["direct"].as_bool()),
        (Some(LARGE as u64), Some(true))
    );
    let part = &told["parts"][0];
    assert_eq!(
        (part["offset"].as_u64(), part["size"].as_u64()),
        (Some(0), Some(LARGE as u64))
    );
    let homes = part["homes"].as_array().unwrap();
    assert_eq!(homes.len(), LARGE.div_ceil(4 << 20), "one list of homes for each chunk");
    let home = &told["nodes"][homes[0][0].as_u64().unwrap() as usize];
    assert_eq!(
        (home["name"].as_str(), home["up"].as_bool()),
        (Some("memory-1"), Some(true))
    );
    let mut read = Vec::new();
    for from in (0..LARGE).step_by(4 << 20) {
        let until = (from + (4 << 20)).min(LARGE) - 1;
        let range = format!("bytes={from}-{until}");
        let reply = ask(
            &server,
            "GET",
            "/v1/transfers/part",
            &grant(part),
            &[("range", &range)],
            b"",
        );
        assert_eq!(reply.status, 206);
        assert_eq!(
            reply.header("content-range"),
            Some(format!("bytes {from}-{until}/{LARGE}").as_str())
        );
        read.extend(reply.body);
    }
    assert_eq!(read, body);
}

#[test]
fn a_small_object_has_nobody_to_go_to() {
    let server = with_object(b"small");
    let told = plan(&server, "");
    assert_eq!(
        (told["direct"].as_bool(), told["size"].as_u64()),
        (Some(false), Some(5))
    );
    assert_eq!(told["parts"].as_array().map(Vec::len), Some(0));
    let none = admin(&server, "GET", "/v1/buckets/things/transfers/none", b"");
    assert_eq!(error(&none), (404, "no_such_object".to_owned()));
    assert_eq!(
        ask(&server, "GET", "/v1/buckets/things/transfers/a", "Bearer x", &[], b"").status,
        403
    );
}

fn begin(server: &Server) -> String {
    let reply = call("POST", "/things/b").query("uploads", "").s3(server);
    reply.element("UploadId").unwrap()
}

fn sending(server: &Server, upload: &str, query: &str) -> Reply {
    let path = format!("/v1/buckets/things/transfers/b?upload={upload}&{query}");
    admin(server, "POST", &path, b"")
}

fn send(server: &Server, grant: &str, body: &[u8], crc: &str) -> Reply {
    let crc = ("x-amz-checksum-crc64nvme", crc);
    ask(server, "PUT", "/v1/transfers/part", grant, &[crc], body)
}

#[test]
fn parts_are_sent_with_grants_and_become_an_object() {
    let server = with_object(b"small");
    let upload = begin(&server);
    let told = sending(&server, &upload, "part=1&count=2&part_bytes=9").json();
    let parts = told["parts"].as_array().unwrap();
    assert_eq!((parts.len(), parts[1]["number"].as_u64()), (2, Some(2)));
    assert_eq!(
        told["nodes"][parts[0]["node"].as_u64().unwrap() as usize]["name"],
        "memory-1"
    );
    let sent = send(&server, &grant(&parts[0]), PART, PART_CRC);
    assert_eq!(sent.status, 200, "{}", sent.text());
    let sent = sent.json();
    assert_eq!((sent["part"].as_u64(), sent["chosen"].as_bool()), (Some(1), Some(true)));
    assert_eq!(sent["checksum"], PART_CRC);
    let etag = sent["etag"].as_str().unwrap();
    let listed = call("GET", "/things/b").query("uploadId", &upload).s3(&server);
    assert!(listed.text().contains(etag), "{}", listed.text());
    let parts = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let completed = call("POST", "/things/b")
        .query("uploadId", &upload)
        .body(format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>").as_bytes())
        .s3(&server);
    assert_eq!(completed.status, 200, "{}", completed.text());
    assert_eq!(admin(&server, "GET", "/v1/buckets/things/objects/b", b"").body, PART);
}

#[test]
fn what_arrives_otherwise_is_not_kept() {
    let server = with_object(b"small");
    let upload = begin(&server);
    let told = sending(&server, &upload, "part=1&part_bytes=9").json();
    let grant = grant(&told["parts"][0]);
    let before = server.memory.parts_stored();
    assert_eq!(
        error(&send(&server, &grant, b"12345678x", PART_CRC)),
        (400, "bad_digest".to_owned())
    );
    assert_eq!(
        error(&send(&server, &grant, b"1234567890", PART_CRC)),
        (403, "grant_refused".to_owned())
    );
    let unsummed = ask(&server, "PUT", "/v1/transfers/part", &grant, &[], PART);
    assert_eq!(unsummed.status, 400, "{}", unsummed.text());
    assert_eq!(server.memory.parts_stored(), before);
    let aborted = call("DELETE", "/things/b").query("uploadId", &upload).s3(&server);
    assert_eq!(aborted.status, 204);
    assert_eq!(
        error(&send(&server, &grant, PART, PART_CRC)),
        (404, "no_such_upload".to_owned())
    );
}

#[test]
fn a_grant_is_for_what_it_says_and_no_longer_than_it_says() {
    let body = large();
    let server = with_object(&body);
    let told = plan(&server, "?expires_s=1");
    let brief = grant(&told["parts"][0]);
    let reading = grant(&plan(&server, "")["parts"][0]);
    let upload = begin(&server);
    let writing = grant(&sending(&server, &upload, "part=3&part_bytes=9").json()["parts"][0]);
    let get = |grant: &str| {
        ask(
            &server,
            "GET",
            "/v1/transfers/part",
            grant,
            &[("range", "bytes=0-8")],
            b"",
        )
    };
    assert_eq!(get(&reading).body, &body[..9]);
    assert_eq!(error(&get(&writing)), (403, "grant_refused".to_owned()));
    assert_eq!(
        error(&send(&server, &reading, PART, PART_CRC)),
        (403, "grant_refused".to_owned())
    );
    for at in ["Grant ".len(), reading.len() / 2, reading.len() - 1] {
        let mut forged = reading.clone().into_bytes();
        forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(error(&get(&forged)), (403, "grant_refused".to_owned()), "{at}");
    }
    // No other claim counts here, and a grant counts nowhere else.
    assert_eq!(error(&get(&format!("Bearer {TOKEN}"))).0, 401);
    assert_eq!(
        ask(&server, "GET", "/v1/buckets/things/objects/a", &reading, &[], b"").status,
        403
    );
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(error(&get(&brief)), (403, "grant_expired".to_owned()));
    // A bucket of the same name is not the same bucket.
    for (method, path) in [
        ("DELETE", "/v1/buckets/things/objects/a"),
        ("DELETE", "/v1/buckets/things"),
        ("PUT", "/v1/buckets/things"),
    ] {
        if path.ends_with("/a") {
            let aborted = call("DELETE", "/things/b").query("uploadId", &upload).s3(&server);
            assert_eq!(aborted.status, 204);
        }
        let reply = admin(&server, method, path, b"");
        assert!(reply.status < 300, "{method} {path}: {}", reply.text());
    }
    assert_eq!(error(&get(&reading)), (404, "no_such_bucket".to_owned()));
}

#[test]
fn what_is_asked_out_of_bounds_is_refused() {
    let server = with_object(b"small");
    let upload = begin(&server);
    for query in [
        "part=0&part_bytes=9",
        "part=1&count=65&part_bytes=9",
        "part=1&count=0&part_bytes=9",
        "part=9990&count=64&part_bytes=9",
        "part=1&part_bytes=0",
        "part=1&part_bytes=9999999999999",
        "part=1",
    ] {
        let reply = sending(&server, &upload, query);
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
    }
    assert_eq!(sending(&server, "xyz", "part=1&part_bytes=9").status, 400);
}

#[test]
fn an_access_key_may_ask_as_well_as_the_token() {
    let server = with_object(&large());
    let reply = exchange(server.rest, &call("GET", "/v1/buckets/things/transfers/a").bytes());
    assert_eq!(reply.status, 200, "{}: {}", KEY, reply.text());
    assert!(reply.json()["parts"][0]["grant"].is_string());
}
