//! REST: resources, contexts, siblings, keys, and problems that say what to do.

use holdfast_core::request::{ReadFault, WriteFault};
use serde_json::{Value, json};

use crate::client::{Reply, exchange};
use crate::server::{KEY, Server, TOKEN};
use crate::sign::call;

fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    exchange(server.rest, &request)
}

fn with_bucket(query: &str) -> Server {
    let server = Server::start();
    let created = ask(&server, "PUT", &format!("/v1/buckets/things{query}"), &[], b"");
    assert_eq!(created.status, 201, "{}", created.text());
    server
}

#[test]
fn buckets_are_resources() {
    let server = with_bucket("?n=3&w=1");
    assert_eq!(ask(&server, "PUT", "/v1/buckets/things", &[], b"").status, 200);
    let posted = ask(
        &server,
        "POST",
        "/v1/buckets",
        &[],
        br#"{"name":"more","conflict":"siblings"}"#,
    );
    assert_eq!(
        (posted.status, posted.json()["conflict"].clone()),
        (201, json!("siblings"))
    );
    let names: Vec<Value> = ask(&server, "GET", "/v1/buckets", &[], b"").json()["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| bucket["name"].clone())
        .collect();
    assert_eq!(names, ["more", "things"]);
    assert_eq!(
        ask(&server, "PUT", "/v1/buckets/things/objects/a", &[], b"12345").status,
        201
    );
    let info = ask(&server, "GET", "/v1/buckets/things", &[], b"").json();
    assert_eq!(
        (&info["objects"], &info["bytes"], &info["w"]),
        (&json!(1), &json!(5), &json!(1))
    );
    let full = ask(&server, "DELETE", "/v1/buckets/things", &[], b"");
    assert_eq!(
        (full.status, full.json()["error"].clone()),
        (409, json!("bucket_not_empty"))
    );
    assert_eq!(ask(&server, "DELETE", "/v1/buckets/more", &[], b"").status, 200);
    for (path, body) in [
        ("/v1/buckets/Bad_Name", &b""[..]),
        ("/v1/buckets/good?w=4", b""),
        ("/v1/buckets/good?conflict=maybe", b""),
        ("/v1/buckets/good", b"{\"unknown\":1}"),
        ("/v1/buckets/good", b"not json"),
    ] {
        let reply = ask(&server, "PUT", path, &[], body);
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
    }
}

#[test]
fn a_write_tells_all_it_knows() {
    let server = with_bucket("");
    let put = ask(
        &server,
        "PUT",
        "/v1/buckets/things/objects/dir/a%20b?w=1&wait=all",
        &[("x-amz-meta-k", "v")],
        b"one",
    );
    assert_eq!(put.status, 201, "{}", put.text());
    let told = put.json();
    for field in [
        "status",
        "bucket",
        "key",
        "dot",
        "etag",
        "context",
        "node",
        "preference_list",
        "replicas_written",
        "pending",
        "down",
        "hinted",
        "clocks",
        "siblings",
        "modified",
    ] {
        assert!(told.get(field).is_some(), "{field} is missing: {told}");
    }
    assert_eq!((&told["key"], &told["status"]), (&json!("dir/a b"), &json!("success")));
    assert_eq!(told["node"]["name"], "memory-1");
    assert_eq!(told["clocks"][0]["node"]["name"], "memory-1");
    assert_eq!(put.header("holdfast-context"), told["context"].as_str());
    let get = ask(&server, "GET", "/v1/buckets/things/objects/dir/a%20b", &[], b"");
    assert_eq!((get.text().as_str(), get.header("x-amz-meta-k")), ("one", Some("v")));
    assert_eq!(get.header("holdfast-context"), told["context"].as_str());
    assert_eq!(get.header("holdfast-dot"), told["dot"].as_str());
    let meta = ask(&server, "GET", "/v1/buckets/things/meta/dir/a%20b", &[], b"").json();
    assert_eq!(
        (&meta["versions"][0]["size"], &meta["exists"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(
        ask(&server, "GET", "/v1/buckets/things/objects/dir/a%20b?meta", &[], b"").json(),
        meta
    );
    let part = ask(
        &server,
        "GET",
        "/v1/buckets/things/objects/dir/a%20b",
        &[("range", "bytes=1-")],
        b"",
    );
    assert_eq!((part.status, part.text().as_str()), (206, "ne"));
    let etag = get.header("etag").unwrap();
    let same = ask(
        &server,
        "GET",
        "/v1/buckets/things/objects/dir/a%20b",
        &[("if-none-match", etag)],
        b"",
    );
    assert_eq!(same.status, 304);
    let list = ask(&server, "GET", "/v1/buckets/things/objects?delimiter=/", &[], b"").json();
    assert_eq!((&list["prefixes"], &list["objects"]), (&json!(["dir/"]), &json!([])));
    let deleted = ask(&server, "DELETE", "/v1/buckets/things/objects/dir/a%20b", &[], b"");
    assert_eq!(
        (deleted.status, deleted.json()["status"].clone()),
        (200, json!("success"))
    );
    let gone = ask(&server, "GET", "/v1/buckets/things/objects/dir/a%20b", &[], b"");
    assert_eq!(
        (gone.status, gone.json()["error"].clone()),
        (404, json!("no_such_object"))
    );
    assert!(gone.header("holdfast-context").is_some());
}

#[test]
fn contexts_make_and_resolve_siblings() {
    let server = with_bucket("?conflict=siblings");
    let path = "/v1/buckets/things/objects/k";
    let first = ask(&server, "PUT", path, &[], b"first");
    let seen = first.header("holdfast-context").unwrap().to_owned();
    for body in [&b"left"[..], b"right"] {
        let put = ask(&server, "PUT", path, &[("holdfast-context", &seen)], body);
        assert_eq!(put.status, 201, "{}", put.text());
    }
    let both = ask(&server, "GET", path, &[], b"");
    assert_eq!((both.status, both.header("holdfast-siblings")), (300, Some("2")));
    let versions = both.json()["versions"].as_array().unwrap().clone();
    let mut bodies: Vec<String> = versions
        .iter()
        .map(|version| {
            let path = format!("{path}?sibling={}", version["dot"].as_str().unwrap());
            ask(&server, "GET", &path, &[], b"").text()
        })
        .collect();
    bodies.sort();
    assert_eq!(bodies, ["left", "right"]);
    // A plain S3 client gets the newest and is told that there are more.
    let s3 = call("GET", "/things/k").s3(&server);
    assert_eq!(
        (s3.status, s3.text().as_str(), s3.header("holdfast-siblings")),
        (200, "right", Some("2"))
    );
    let all = both.header("holdfast-context").unwrap();
    assert_eq!(
        ask(&server, "PUT", path, &[("holdfast-context", all)], b"merged").status,
        201
    );
    let merged = ask(&server, "GET", path, &[], b"");
    assert_eq!((merged.status, merged.text().as_str()), (200, "merged"));
    for (path, token) in [(path, "forged"), ("/v1/buckets/things/objects/other", all)] {
        let put = ask(&server, "PUT", path, &[("holdfast-context", token)], b"x");
        assert_eq!(put.status, 400, "{}", put.text());
    }
    assert_eq!(
        ask(&server, "GET", &format!("{path}?sibling=nonsense"), &[], b"").status,
        400
    );
}

#[test]
fn forms_put_their_file_and_nothing_else() {
    let server = with_bucket("");
    let form = |fields: &[(&str, Option<&str>, &str)]| {
        let mut body = String::new();
        for (name, file, content) in fields {
            let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
            body.push_str(&format!(
                "--XX\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\nContent-Type: a/b\r\n\r\n{content}\r\n"
            ));
        }
        body.push_str("--XX--\r\n");
        body
    };
    let kind = [("content-type", "multipart/form-data; boundary=XX")];
    let body = form(&[("file", Some("picture.jpg"), "pixels")]);
    let posted = ask(&server, "POST", "/v1/buckets/things/objects", &kind, body.as_bytes());
    assert_eq!(
        (posted.status, posted.json()["key"].clone()),
        (201, json!("picture.jpg"))
    );
    let put = ask(
        &server,
        "PUT",
        "/v1/buckets/things/objects/named",
        &kind,
        body.as_bytes(),
    );
    assert_eq!(put.status, 201, "{}", put.text());
    for key in ["picture.jpg", "named"] {
        let get = ask(&server, "GET", &format!("/v1/buckets/things/objects/{key}"), &[], b"");
        assert_eq!(
            (get.text().as_str(), get.header("content-type")),
            ("pixels", Some("a/b"))
        );
    }
    let two = form(&[("file", Some("a"), "x"), ("more", Some("b"), "y")]);
    let cut = &body.as_bytes()[..body.len() - 12];
    for body in [two.as_bytes(), cut, b"--XX--\r\n", b"nonsense"] {
        let reply = ask(&server, "POST", "/v1/buckets/things/objects/never", &kind, body);
        assert_eq!(reply.status, 400, "{}", reply.text());
    }
    assert_eq!(
        ask(&server, "GET", "/v1/buckets/things/objects/never", &[], b"").status,
        404
    );
}

#[test]
fn keys_are_managed_by_few_and_work_at_once() {
    let server = with_bucket("");
    let created = ask(&server, "POST", "/v1/keys", &[], br#"{"name":"laptop"}"#).json();
    let (id, secret) = (
        created["access_key_id"].as_str().unwrap().to_owned(),
        created["secret_access_key"].as_str().unwrap().to_owned(),
    );
    let signed = |method, path: &str| {
        let mut call = call(method, path);
        (call.key, call.secret) = (id.clone(), secret.clone());
        call
    };
    assert_eq!(signed("GET", "/things").s3(&server).status, 200);
    let listed = ask(&server, "GET", "/v1/keys", &[], b"");
    assert!(listed.text().contains("laptop") && !listed.text().contains(&secret));
    let rest = |call: crate::sign::Call| exchange(server.rest, &call.bytes());
    assert_eq!(rest(signed("GET", "/v1/buckets")).status, 200);
    assert_eq!(
        rest(signed("GET", "/v1/keys")).status,
        403,
        "only the root key manages keys"
    );
    assert_eq!(rest(call("GET", "/v1/keys")).status, 200);
    for (method, path, works) in [
        ("POST", format!("/v1/keys/{id}/disable"), false),
        ("POST", format!("/v1/keys/{id}/enable"), true),
        ("DELETE", format!("/v1/keys/{id}"), false),
    ] {
        assert_eq!(ask(&server, method, &path, &[], b"").status, 200, "{path}");
        let expected = if works { "status 200" } else { "InvalidAccessKeyId" };
        assert_eq!(signed("GET", "/things").s3(&server).code(), expected, "{path}");
    }
    assert_eq!(
        ask(&server, "POST", &format!("/v1/keys/{id}/enable"), &[], b"").status,
        404
    );
    assert_eq!(ask(&server, "DELETE", &format!("/v1/keys/{KEY}"), &[], b"").status, 409);
}

#[test]
fn claims_are_verified() {
    let server = with_bucket("");
    let anonymous = exchange(server.rest, b"GET /v1/buckets HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(
        (anonymous.status, anonymous.json()["error"].clone()),
        (401, json!("unauthorized"))
    );
    let wrong = exchange(
        server.rest,
        b"GET /v1/buckets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n\r\n",
    );
    assert_eq!(wrong.status, 403);
    let mut late = call("GET", "/v1/buckets");
    late.late_s = 3600;
    assert_eq!(exchange(server.rest, &late.bytes()).json()["error"], "clock_skew");
    let put = call("PUT", "/v1/buckets/things/objects/k ü")
        .query("w", "1")
        .body("signed");
    assert_eq!(exchange(server.rest, &put.bytes()).status, 201);
    let mut other = call("PUT", "/v1/buckets/things/objects/other").body("a body");
    other.claimed_hash = Some("0".repeat(64));
    let other = exchange(server.rest, &other.bytes());
    assert_eq!(other.status, 400, "{}", other.text());
    assert_eq!(
        ask(&server, "GET", "/v1/buckets/things/objects/other", &[], b"").status,
        404
    );
}

#[test]
fn problems_say_what_to_do_and_whether_anything_changed() {
    let server = with_bucket("");
    server
        .memory
        .fail_writes(Some(WriteFault::TimedOut { needed: 2, synced: 1 }));
    let put = ask(&server, "PUT", "/v1/buckets/things/objects/k", &[], b"x");
    assert_eq!((put.status, put.header("retry-after")), (503, Some("1")));
    let told = put.json();
    assert_eq!(
        (&told["error"], &told["state_changed"]),
        (&json!("timed_out"), &json!(false))
    );
    assert!(told["message"].as_str().unwrap().contains("1 of 2"));
    assert!(!told["what_to_do"].as_str().unwrap().is_empty());
    server.memory.fail_writes(None);
    server.memory.fail_reads(Some(ReadFault::Damaged));
    assert_eq!(
        ask(&server, "GET", "/v1/buckets/things/objects/k", &[], b"").json()["error"],
        "damaged"
    );
    assert_eq!(
        exchange(server.rest, b"GET /health/ready HTTP/1.1\r\nhost: x\r\n\r\n").status,
        503
    );
    assert_eq!(
        exchange(server.rest, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").status,
        200
    );
    server.memory.fail_reads(None);
    assert_eq!(
        exchange(server.rest, b"GET /health/ready HTTP/1.1\r\nhost: x\r\n\r\n").status,
        200
    );
    for (method, path, status) in [
        ("GET", "/v1/nothing", 404),
        ("PATCH", "/v1/buckets/things", 405),
        ("GET", "/v1/buckets/missing/objects/k", 404),
        ("PUT", "/v1/buckets/things/objects/k?wait=some", 400),
    ] {
        let reply = ask(&server, method, path, &[], b"");
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(reply.json()["what_to_do"].is_string());
    }
    let conditional = ask(
        &server,
        "PUT",
        "/v1/buckets/things/objects/k",
        &[("if-match", "x")],
        b"",
    );
    assert_eq!(conditional.status, 501);
    let located = ask(&server, "GET", "/v1/locate?bucket=things&key=k", &[], b"").json();
    assert_eq!(
        (&located["homes"], &located["preference_list"][0]["name"]),
        (&json!(1), &json!("memory-1"))
    );
    let cluster = ask(&server, "GET", "/v1/cluster", &[], b"").json();
    assert_eq!(
        (&cluster["members"][0]["up"], &cluster["partitions"]),
        (&json!(true), &json!(1024))
    );
    assert_eq!(cluster["unsafe_no_sync"], json!(true), "memory is not a disk");
}

#[test]
fn a_member_is_put_into_maintenance_and_taken_out_again() {
    let server = Server::start();
    let member = || ask(&server, "GET", "/v1/cluster", &[], b"").json()["members"][0].clone();
    assert_eq!(
        (&member()["maintenance"], &member()["state"]),
        (&json!(false), &json!("up"))
    );
    let path = "/v1/cluster/members/memory-1/maintenance";
    assert_eq!(ask(&server, "POST", path, &[], b"{}").status, 200);
    assert_eq!(member()["maintenance"], json!(true));
    assert_eq!(ask(&server, "DELETE", path, &[], b"").status, 200);
    assert_eq!(member()["maintenance"], json!(false));
    let nobody = ask(&server, "POST", "/v1/cluster/members/nobody/maintenance", &[], b"{}");
    assert_eq!(
        (nobody.status, &nobody.json()["error"]),
        (404, &json!("no_such_member"))
    );
    let page = ask(&server, "GET", "/metrics", &[], b"").text();
    assert!(page.contains("holdfast_members{state=\"up\"} 1"), "{page}");
}

#[test]
fn a_repair_is_begun_and_shown_to_administrators_alone() {
    let server = Server::start();
    assert_eq!(
        ask(&server, "GET", "/v1/repair", &[], b"").json()["repair"],
        Value::Null
    );
    let begun = ask(&server, "POST", "/v1/repair", &[], b"");
    assert_eq!(begun.status, 202, "{}", begun.text());
    let begun = begun.json();
    assert_eq!(
        (&begun["node"]["name"], &begun["joined"]),
        (&json!("memory-1"), &json!(false))
    );
    let shown = ask(&server, "GET", "/v1/repair", &[], b"").json();
    let repair = &shown["repair"];
    assert_eq!((&repair["running"], &repair["stage"]), (&json!(false), &json!("over")));
    assert_eq!(repair["percent"], json!(100.0));
    for field in [
        "number",
        "begun",
        "ended",
        "records",
        "chunks",
        "bytes",
        "members",
        "left_out",
        "damaged",
        "differences",
        "healed",
        "unhealed",
    ] {
        assert!(repair.get(field).is_some(), "{field} is missing: {repair}");
    }
    assert_eq!(ask(&server, "DELETE", "/v1/repair", &[], b"").status, 405);
    let stranger = exchange(
        server.rest,
        b"POST /v1/repair HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!(stranger.status, 401, "{}", stranger.text());
    let metrics = ask(&server, "GET", "/metrics", &[], b"").text();
    for line in [
        "holdfast_repair_running 0",
        "holdfast_repair_unhealed 0",
        "holdfast_soundness{state=\"sound\"} 1",
        "holdfast_soundness{state=\"filling\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}
