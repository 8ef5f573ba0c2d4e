//! Bodies in every framing, with every digest, right and wrong: a wrong one stores nothing.

use holdfast_api::checksum::{ALGORITHMS, Hasher};
use sha2::{Digest, Sha256};

use crate::server::Server;
use crate::sign::{Framing, base64, call, hex};

fn with_bucket() -> Server {
    let server = Server::start();
    assert_eq!(call("PUT", "/things").s3(&server).status, 200);
    server
}

fn sum(algorithm: holdfast_api::checksum::Algorithm, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..bytes.div_ceil(8))
        .flat_map(|_| next().to_le_bytes())
        .take(bytes)
        .collect()
}

#[test]
fn every_framing_stores_the_same_bytes() {
    let server = with_bucket();
    for size in [0, 1, 4096, 70_000, 3_000_000] {
        let body = noise(size);
        let crc = sum(ALGORITHMS[0], &body);
        let trailer = || Framing::Trailer(1 << 30, "x-amz-checksum-crc32".to_owned(), crc.clone());
        for framing in [
            Framing::Whole,
            Framing::Unsigned,
            Framing::SignedChunks(65_536),
            Framing::Trailer(10_000, "x-amz-checksum-crc32".to_owned(), crc.clone()),
            trailer(),
        ] {
            let told = format!("{size} bytes, {framing:?}");
            let put = call("PUT", "/things/k").body(body.clone()).framing(framing).s3(&server);
            assert_eq!(put.status, 200, "{told}: {}", put.text());
            let get = call("GET", "/things/k").s3(&server);
            assert!(get.body == body, "{told}: other bytes came back");
            assert_eq!(get.header("content-encoding"), None, "{told}");
            assert_eq!(call("DELETE", "/things/k").s3(&server).status, 204);
        }
    }
}

#[test]
fn checksums_are_verified_kept_and_told() {
    let server = with_bucket();
    let body = noise(100_000);
    for algorithm in ALGORITHMS {
        let value = sum(algorithm, &body);
        let in_header = call("PUT", "/things/k")
            .header(algorithm.header(), &value)
            .body(body.clone());
        let framing = Framing::Trailer(30_000, algorithm.header().to_owned(), value.clone());
        let in_trailer = call("PUT", "/things/k").framing(framing).body(body.clone());
        for put in [in_header, in_trailer] {
            let put = put.s3(&server);
            assert_eq!(put.status, 200, "{}", put.text());
            assert_eq!(put.header(algorithm.header()), Some(value.as_str()));
            let get = call("GET", "/things/k")
                .header("x-amz-checksum-mode", "ENABLED")
                .s3(&server);
            assert_eq!(get.header(algorithm.header()), Some(value.as_str()));
            assert_eq!(get.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
            let part = call("GET", "/things/k")
                .header("x-amz-checksum-mode", "ENABLED")
                .header("range", "bytes=0-9");
            assert_eq!(part.s3(&server).header(algorithm.header()), None);
        }
        let wrong = sum(algorithm, b"something else");
        let framing = Framing::Trailer(30_000, algorithm.header().to_owned(), wrong.clone());
        for put in [
            call("PUT", "/things/wrong")
                .header(algorithm.header(), &wrong)
                .body(body.clone()),
            call("PUT", "/things/wrong").framing(framing).body(body.clone()),
        ] {
            assert_eq!(put.s3(&server).code(), "BadDigest", "{}", algorithm.name());
        }
    }
    assert_eq!(call("GET", "/things/wrong").s3(&server).status, 404);
}

#[test]
fn a_body_that_is_not_the_one_signed_is_not_stored() {
    let server = with_bucket();
    for size in [10, 200_000] {
        let body = noise(size);
        let mut put = call("PUT", "/things/wrong").body(body.clone());
        put.claimed_hash = Some(hex(&Sha256::digest(b"something else")));
        let reply = put.s3(&server);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "XAmzContentSHA256Mismatch")
        );
        for damaged in [0, 1] {
            let mut put = call("PUT", "/things/wrong")
                .framing(Framing::SignedChunks(size))
                .body(body.clone());
            put.damage_chunk = Some(damaged);
            let reply = put.s3(&server);
            assert_eq!((reply.status, reply.code().as_str()), (403, "SignatureDoesNotMatch"));
        }
        let md5 = base64(&[0; 16]);
        let reply = call("PUT", "/things/wrong")
            .header("content-md5", &md5)
            .body(body)
            .s3(&server);
        assert_eq!((reply.status, reply.code().as_str()), (400, "BadDigest"));
    }
    let short = call("PUT", "/things/wrong")
        .header("content-md5", "abc")
        .body("x")
        .s3(&server);
    assert_eq!(short.code(), "InvalidDigest");
    assert_eq!(call("GET", "/things/wrong").s3(&server).status, 404);
    assert_eq!(server.memory.parts_stored(), 0);
}

#[test]
fn framing_that_lies_is_refused() {
    let server = with_bucket();
    let crc = sum(ALGORITHMS[0], b"hello");
    let put = call("PUT", "/things/wrong")
        .framing(Framing::Trailer(100, "x-amz-checksum-crc32".to_owned(), crc))
        .body("hello");
    let (head, body) = put.parts();
    let with_body = |body: &[u8]| {
        let head = String::from_utf8(head.clone()).unwrap();
        let before = head.split("content-length: ").next().unwrap().to_owned();
        let after = head
            .split_once("content-length: ")
            .unwrap()
            .1
            .split_once("\r\n")
            .unwrap()
            .1;
        let mut request = format!("{before}content-length: {}\r\n{after}", body.len()).into_bytes();
        request.extend_from_slice(body);
        crate::client::exchange(server.s3, &request)
    };
    assert_eq!(with_body(&body).status, 200);
    assert_eq!(call("DELETE", "/things/wrong").s3(&server).status, 204);
    for (framed, codes) in [
        (&b"zz\r\nhello\r\n0\r\n\r\n"[..], ["InvalidRequest", "InvalidRequest"]),
        (b"5\r\nhelloXX0\r\n\r\n", ["InvalidRequest", "InvalidRequest"]),
        (b"5\r\nhel", ["IncompleteBody", "IncompleteBody"]),
        (b"3\r\nhel\r\n0\r\n\r\n", ["IncompleteBody", "MalformedTrailerError"]),
        (
            b"5\r\nhello\r\n0\r\n\r\n",
            ["MalformedTrailerError", "MalformedTrailerError"],
        ),
        (b"6\r\nhello!\r\n0\r\n\r\n", ["IncompleteBody", "IncompleteBody"]),
    ] {
        let reply = with_body(framed);
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(codes.contains(&reply.code().as_str()), "{framed:?}: {}", reply.text());
    }
    assert_eq!(call("GET", "/things/wrong").s3(&server).status, 404);
}
