//! The console's server side: its files, sessions, previews, and what REST learnt for it.

use serde_json::{Value, json};

use crate::client::{Reply, exchange};
use crate::server::{KEY, SECRET, Server, TOKEN};

const OURS: (&str, &str) = ("holdfast-console", "1");

fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: x:9001\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    exchange(server.rest, &request)
}

fn with_token(server: &Server, method: &str, path: &str, body: &[u8]) -> Reply {
    let bearer = format!("Bearer {TOKEN}");
    ask(server, method, path, &[("authorization", &bearer)], body)
}

/// Signs in; the cookie as it is sent back.
fn signed_in(server: &Server, credentials: Value) -> Result<String, Reply> {
    let reply = ask(
        server,
        "POST",
        "/console/session",
        &[OURS],
        credentials.to_string().as_bytes(),
    );
    match reply.header("set-cookie") {
        Some(cookie) if reply.status == 200 => Ok(cookie.split(';').next().unwrap().to_owned()),
        _ => Err(reply),
    }
}

fn root(secret: &str) -> Value {
    json!({ "access_key_id": KEY, "secret_access_key": secret })
}

#[test]
fn pages_and_files_are_served_to_anybody_and_bound_by_a_strict_policy() {
    let server = Server::start();
    for path in ["/console", "/console/", "/console/buckets/photos/object?key=a%2Fb"] {
        let page = ask(&server, "GET", path, &[], b"");
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    }
    let page = ask(&server, "GET", "/console/", &[], b"");
    let tag = page.header("etag").unwrap().to_owned();
    assert_eq!(
        ask(&server, "GET", "/console/", &[("if-none-match", &tag)], b"").status,
        304
    );
    let text = page.text();
    let (_, rest) = text.split_once("src=\"").unwrap();
    let script = rest.split('"').next().unwrap();
    let script = ask(&server, "GET", script, &[], b"");
    assert_eq!(
        (script.status, script.header("content-type")),
        (200, Some("text/javascript; charset=utf-8"))
    );
    assert!(script.header("cache-control").unwrap().contains("immutable"));
    for path in [
        "/console/assets/0000000000000000/js/main.js",
        "/console/assets/x/../index.html",
    ] {
        assert_ne!(
            ask(&server, "GET", path, &[], b"").header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
    }
    assert_eq!(ask(&server, "GET", "/", &[], b"").header("location"), Some("/console/"));
}

#[test]
fn a_session_asks_as_its_key_until_it_is_ended() {
    let server = Server::start();
    assert_eq!(signed_in(&server, root("wrong")).unwrap_err().status, 403);
    assert_eq!(
        signed_in(&server, json!({"admin_token": "wrong"})).unwrap_err().status,
        403
    );
    assert_eq!(signed_in(&server, json!({})).unwrap_err().status, 403);
    assert_eq!(
        ask(
            &server,
            "POST",
            "/console/session",
            &[],
            root(SECRET).to_string().as_bytes()
        )
        .status,
        403,
        "another page cannot sign anybody in"
    );
    let cookie = signed_in(&server, root(SECRET)).unwrap();
    let with = |method: &str, path: &str, more: &[(&str, &str)]| {
        let headers: Vec<(&str, &str)> = [("cookie", cookie.as_str())].iter().chain(more).copied().collect();
        ask(&server, method, path, &headers, b"")
    };
    let who = with("GET", "/console/session", &[OURS]).json();
    assert_eq!((&who["principal"], &who["manages_keys"]), (&json!(KEY), &json!(true)));
    assert_eq!(with("PUT", "/v1/buckets/things", &[OURS]).status, 201);
    assert_eq!(with("PUT", "/v1/buckets/other", &[]).json()["error"], "foreign");
    assert_eq!(
        with("PUT", "/v1/buckets/other", &[OURS, ("origin", "http://x:80")]).status,
        403
    );
    assert_eq!(with("DELETE", "/console/session", &[]).status, 403);
    assert_eq!(with("DELETE", "/console/session", &[OURS]).status, 200);
    assert_eq!(with("GET", "/v1/buckets", &[OURS]).json()["error"], "signed_out");
}

#[test]
fn a_key_that_is_turned_off_ends_its_sessions() {
    let server = Server::start();
    let made = with_token(&server, "POST", "/v1/keys", br#"{"name":"camera"}"#).json();
    let (id, secret) = (
        made["access_key_id"].as_str().unwrap(),
        made["secret_access_key"].as_str().unwrap(),
    );
    let cookie = signed_in(&server, json!({"access_key_id": id, "secret_access_key": secret})).unwrap();
    let list = || ask(&server, "GET", "/v1/buckets", &[("cookie", &cookie), OURS], b"").status;
    assert_eq!(list(), 200);
    assert_eq!(
        ask(&server, "GET", "/v1/keys", &[("cookie", &cookie), OURS], b"").status,
        403
    );
    assert_eq!(
        with_token(&server, "POST", &format!("/v1/keys/{id}/disable"), b"").status,
        200
    );
    assert_eq!(list(), 401);
}

#[test]
fn previews_run_nothing() {
    let server = Server::start();
    assert_eq!(with_token(&server, "PUT", "/v1/buckets/things", b"").status, 201);
    let bearer = format!("Bearer {TOKEN}");
    let put = [("authorization", bearer.as_str()), ("content-type", "text/html")];
    assert_eq!(
        ask(
            &server,
            "PUT",
            "/v1/buckets/things/objects/a%20b.html",
            &put,
            b"<script>"
        )
        .status,
        201
    );
    let cookie = signed_in(&server, json!({"admin_token": TOKEN})).unwrap();
    let path = "/console/preview/things/a%20b.html";
    let shown = ask(&server, "GET", path, &[("cookie", &cookie)], b"");
    assert_eq!((shown.status, shown.body.as_slice()), (200, &b"<script>"[..]));
    assert_eq!(shown.header("content-type"), Some("application/octet-stream"));
    assert_eq!(shown.header("content-disposition"), Some("attachment"));
    assert!(shown.header("content-security-policy").unwrap().starts_with("sandbox"));
    assert_eq!(ask(&server, "GET", path, &[], b"").status, 401);
    assert_eq!(
        ask(&server, "DELETE", path, &[("cookie", &cookie)], b"").status,
        403,
        "elements only read"
    );
    let elsewhere = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-site")];
    assert_eq!(ask(&server, "GET", path, &elsewhere, b"").status, 403);
}

#[test]
fn the_ring_and_the_figures_are_everybodys() {
    let server = Server::start();
    let layout = with_token(&server, "GET", "/v1/layout", b"");
    assert_eq!(layout.json()["lists"].as_array().map(Vec::len), Some(1024));
    let bearer = format!("Bearer {TOKEN}");
    let known = [
        ("authorization", bearer.as_str()),
        ("if-none-match", layout.header("etag").unwrap()),
    ];
    assert_eq!(ask(&server, "GET", "/v1/layout", &known, b"").status, 304);
    let stats = with_token(&server, "GET", "/v1/stats", b"").json();
    assert!(
        stats["requests"].is_u64() && stats["average"]["memory_bytes"].is_u64(),
        "{stats}"
    );
    let view = with_token(&server, "GET", "/v1/cluster", b"").json();
    assert_eq!(view["level"], "watch", "memory is no disk");
    assert!(
        view["sentence"].as_str().unwrap().contains("The one node is up."),
        "{view}"
    );
    for path in ["/v1/layout", "/v1/stats", "/v1/cluster/stream"] {
        assert_eq!(ask(&server, "GET", path, &[], b"").status, 401, "{path}");
    }
}

#[test]
fn an_upload_in_parts_becomes_an_object() {
    let server = Server::start();
    with_token(&server, "PUT", "/v1/buckets/things", b"");
    let path = "/v1/buckets/things/uploads/large/one.bin";
    let begun = with_token(&server, "POST", path, b"");
    assert_eq!(begun.status, 201, "{}", begun.text());
    let id = begun.json()["upload"].as_str().unwrap().to_owned();
    let first = vec![7_u8; 5 << 20];
    let parts: Vec<Value> = [(2, &b"end"[..]), (1, first.as_slice())]
        .iter()
        .map(|(number, body)| {
            let sent = with_token(&server, "PUT", &format!("{path}?upload={id}&part={number}"), body);
            assert_eq!(sent.status, 200, "{}", sent.text());
            json!({ "number": number, "etag": sent.json()["etag"] })
        })
        .collect();
    let there = with_token(&server, "GET", &format!("{path}?upload={id}"), b"").json();
    assert_eq!(
        (there["state"].as_str(), there["parts"].as_array().map(Vec::len)),
        (Some("open"), Some(2))
    );
    let complete = format!("{path}?upload={id}");
    let wrong = json!({"parts": [{"number": 1, "etag": "0"}]}).to_string();
    assert_eq!(with_token(&server, "POST", &complete, wrong.as_bytes()).status, 400);
    let done = with_token(
        &server,
        "POST",
        &complete,
        json!({ "parts": parts }).to_string().as_bytes(),
    );
    assert_eq!(done.status, 201, "{}", done.text());
    assert!(done.json()["etag"].as_str().unwrap().ends_with("-2"));
    let object = with_token(&server, "GET", "/v1/buckets/things/objects/large/one.bin", b"");
    assert_eq!(
        (object.body.len(), &object.body[5 << 20..]),
        ((5 << 20) + 3, &b"end"[..])
    );
    assert_eq!(
        with_token(&server, "POST", &complete, b"").status,
        404,
        "it is completed"
    );
    let chunks = with_token(&server, "GET", "/v1/buckets/things/chunks/large/one.bin", b"").json();
    assert_eq!(
        (&chunks["form"], &chunks["parts"]),
        (&json!("chunks"), &json!(2)),
        "{chunks}"
    );

    let other = with_token(&server, "POST", path, b"").json()["upload"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        with_token(&server, "DELETE", &format!("{path}?upload={other}"), b"").status,
        200
    );
    let late = with_token(&server, "PUT", &format!("{path}?upload={other}&part=1"), b"x");
    assert_eq!(late.status, 404, "{}", late.text());
    for query in ["?upload=zz&part=1", "?part=1", &format!("?upload={id}&part=0")] {
        let refused = with_token(&server, "PUT", &format!("{path}{query}"), b"x").status;
        assert!(refused == 400 || refused == 404, "{query}: {refused}");
    }
}

#[test]
fn a_link_is_signed_with_the_callers_key() {
    let server = Server::start();
    with_token(&server, "PUT", "/v1/buckets/things", b"");
    with_token(&server, "PUT", "/v1/buckets/things/objects/a%20b", b"shared");
    let shared = with_token(&server, "POST", "/v1/buckets/things/share/a%20b?expires_s=60", b"").json();
    assert_eq!(shared["signed_by"], KEY, "the admin token's is the root key");
    let url = shared["url"].as_str().unwrap();
    let path = url.strip_prefix("http://127.0.0.1:9000").unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:9000\r\ncontent-length: 0\r\n\r\n");
    let read = exchange(server.s3, request.as_bytes());
    assert_eq!((read.status, read.text()), (200, "shared".to_owned()));
    let forged = request.replace("a%20b", "other");
    assert_eq!(exchange(server.s3, forged.as_bytes()).status, 403);
    for query in ["?expires_s=0", "?expires_s=604801"] {
        let refused = with_token(&server, "POST", &format!("/v1/buckets/things/share/a{query}"), b"");
        assert_eq!(refused.status, 400, "{query}");
    }
}
