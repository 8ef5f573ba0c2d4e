//! Objects, listings, multipart uploads and identities, as SDKs use them.

use holdfast_core::request::WriteFault;

use crate::server::{Server, TOKEN};
use crate::sign::call;

fn with_bucket() -> Server {
    let server = Server::start();
    assert_eq!(call("PUT", "/things").s3(&server).status, 200);
    server
}

#[test]
fn an_object_comes_back_as_it_was_put() {
    let server = with_bucket();
    let put = call("PUT", "/things/dir/ü b+c.txt")
        .header("content-type", "text/plain")
        .header("x-amz-meta-colour", "green")
        .header("cache-control", "max-age=5")
        .header("x-amz-acl", "private")
        .header("x-amz-storage-class", "STANDARD")
        .body("hello")
        .s3(&server);
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(put.header("etag"), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    let get = call("GET", "/things/dir/ü b+c.txt").s3(&server);
    assert_eq!((get.status, get.text().as_str()), (200, "hello"));
    assert_eq!(get.header("content-type"), Some("text/plain"));
    assert_eq!(get.header("x-amz-meta-colour"), Some("green"));
    assert_eq!(get.header("cache-control"), Some("max-age=5"));
    assert_eq!(get.header("accept-ranges"), Some("bytes"));
    assert_ne!(get.header("x-amz-request-id"), put.header("x-amz-request-id"));
    let head = call("HEAD", "/things/dir/ü b+c.txt").s3(&server);
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    let part = call("GET", "/things/dir/ü b+c.txt")
        .header("range", "bytes=1-3")
        .s3(&server);
    assert_eq!((part.status, part.text().as_str()), (206, "ell"));
    assert_eq!(part.header("content-range"), Some("bytes 1-3/5"));
    let beyond = call("GET", "/things/dir/ü b+c.txt")
        .header("range", "bytes=9-")
        .s3(&server);
    assert_eq!((beyond.status, beyond.code().as_str()), (416, "InvalidRange"));
    assert_eq!(beyond.header("content-range"), Some("bytes */5"));
    assert_eq!(call("DELETE", "/things/dir/ü b+c.txt").s3(&server).status, 204);
    let gone = call("GET", "/things/dir/ü b+c.txt").s3(&server);
    assert_eq!((gone.status, gone.code().as_str()), (404, "NoSuchKey"));
    assert_eq!(call("DELETE", "/things/dir/ü b+c.txt").s3(&server).status, 204);
}

#[test]
fn buckets_are_created_named_and_emptied_before_they_go() {
    let server = with_bucket();
    assert_eq!(call("PUT", "/things").s3(&server).status, 200, "again, in us-east-1");
    assert_eq!(call("PUT", "/Bad_Name").s3(&server).code(), "InvalidBucketName");
    let foreign =
        "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    let foreign = call("PUT", "/elsewhere").body(foreign).s3(&server);
    assert_eq!(foreign.code(), "IllegalLocationConstraintException");
    let location = call("GET", "/things").query("location", "").s3(&server);
    assert!(location.text().contains("LocationConstraint"), "{}", location.text());
    assert_eq!(
        call("HEAD", "/things").s3(&server).header("x-amz-bucket-region"),
        Some("us-east-1")
    );
    assert_eq!(call("PUT", "/things/a").body("x").s3(&server).status, 200);
    assert_eq!(call("DELETE", "/things").s3(&server).code(), "BucketNotEmpty");
    // A sub-resource that nobody implements must not fall through to the plain operation.
    assert_eq!(
        call("DELETE", "/things/a").query("versioning", "").s3(&server).code(),
        "NotImplemented"
    );
    assert_eq!(
        call("DELETE", "/things").query("versioning", "").s3(&server).code(),
        "NotImplemented"
    );
    assert_eq!(
        call("PUT", "/things/a").query("renameObject", "").s3(&server).code(),
        "NotImplemented"
    );
    assert_eq!(call("GET", "/things/a").s3(&server).text(), "x");
    assert_eq!(call("DELETE", "/things/a").s3(&server).status, 204);
    assert_eq!(call("DELETE", "/things").s3(&server).status, 204);
    assert_eq!(call("HEAD", "/things").s3(&server).status, 404);
}

#[test]
fn virtual_hosts_name_buckets_only_under_the_base_domain() {
    let server = with_bucket();
    let mut put = call("PUT", "/a/b").body("x");
    put.host = "things.s3.example.com".to_owned();
    assert_eq!(put.s3(&server).status, 200);
    assert_eq!(call("GET", "/things/a/b").s3(&server).text(), "x");
    let mut get = call("GET", "/things/a/b");
    get.host = "node7.internal:9000".to_owned();
    assert_eq!(get.s3(&server).text(), "x");
}

#[test]
fn any_region_is_taken_even_one_that_is_none() {
    let server = with_bucket();
    for region in ["eu-west-1", "garage", "US"] {
        let mut put = call("PUT", "/things/k").body(region);
        put.region = region;
        assert_eq!(put.clone().s3(&server).status, 200, "{region}");
        put.secret = "another".to_owned();
        assert_eq!(put.s3(&server).code(), "SignatureDoesNotMatch", "{region}");
        assert_eq!(call("GET", "/things/k").s3(&server).text(), region);
    }
}

#[test]
fn listings_page_group_and_encode() {
    let server = with_bucket();
    for key in ["a/1", "a/2", "b c", "d/1", "e"] {
        assert_eq!(call("PUT", &format!("/things/{key}")).s3(&server).status, 200);
    }
    let list = |query: &[(&str, &str)]| {
        let ask = call("GET", "/things").query("list-type", "2");
        query
            .iter()
            .fold(ask, |ask, (name, value)| ask.query(name, value))
            .s3(&server)
    };
    let mut seen = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut query = vec![("max-keys", "2"), ("delimiter", "/"), ("encoding-type", "url")];
        if let Some(token) = &token {
            query.push(("continuation-token", token));
        }
        let page = list(&query);
        assert_eq!(page.status, 200, "{}", page.text());
        let text = page.text();
        seen.extend(
            text.split("<Key>")
                .skip(1)
                .map(|rest| rest.split('<').next().unwrap().to_owned()),
        );
        let prefixes = text.split("<CommonPrefixes><Prefix>").skip(1);
        seen.extend(prefixes.map(|rest| rest.split('<').next().unwrap().to_owned()));
        token = page.element("NextContinuationToken");
        if token.is_none() {
            assert_eq!(page.element("IsTruncated").as_deref(), Some("false"));
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ["a/", "b%20c", "d/", "e"]);
    assert_eq!(list(&[("max-keys", "0")]).element("KeyCount").as_deref(), Some("0"));
    assert_eq!(
        list(&[("start-after", "d/1")]).element("KeyCount").as_deref(),
        Some("1")
    );
    assert_eq!(list(&[("continuation-token", "bogus")]).code(), "InvalidArgument");
    assert_eq!(list(&[("max-keys", "-1")]).code(), "InvalidArgument");
}

#[test]
fn a_retry_with_the_same_invocation_id_is_the_same_write() {
    let server = with_bucket();
    let put = call("PUT", "/things/k")
        .header("amz-sdk-invocation-id", "one")
        .body("first");
    assert_eq!(put.clone().s3(&server).status, 200);
    let dot = || {
        let request =
            format!("GET /v1/buckets/things/meta/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        let reply = crate::client::exchange(server.rest, request.as_bytes());
        reply.json()["versions"][0]["dot"].as_str().unwrap().to_owned()
    };
    let first = dot();
    assert_eq!(put.clone().s3(&server).status, 200);
    assert_eq!(dot(), first, "the retry made a version of its own");
    let other = put.clone().body("of another length").s3(&server);
    assert_eq!((other.status, other.code().as_str()), (409, "OperationAborted"));
    // A delete under the same id is another operation, so another write.
    assert_eq!(
        call("DELETE", "/things/k")
            .header("amz-sdk-invocation-id", "one")
            .s3(&server)
            .status,
        204
    );
    assert_eq!(call("GET", "/things/k").s3(&server).status, 404);
}

#[test]
fn faults_are_told_in_the_words_of_s3() {
    let server = with_bucket();
    server.memory.fail_writes(Some(WriteFault::Unavailable {
        needed: 2,
        reached: 1,
        down: Vec::new(),
    }));
    let put = call("PUT", "/things/k").body("x").s3(&server);
    assert_eq!((put.status, put.code().as_str()), (503, "ServiceUnavailable"));
    assert_eq!(put.header("retry-after"), Some("1"));
    assert!(put.text().contains("nothing was changed"), "{}", put.text());
    assert!(put.text().contains("<Resource>/things/k</Resource>"), "{}", put.text());
    server.memory.fail_writes(Some(WriteFault::DiskFull));
    assert_eq!(call("PUT", "/things/k").body("x").s3(&server).code(), "SlowDown");
    server.memory.fail_writes(None);
    assert_eq!(call("GET", "/things/k").s3(&server).status, 404);
}

#[test]
fn promises_that_cannot_be_kept_are_not_made() {
    let server = with_bucket();
    for (name, value) in [
        ("if-none-match", "*"),
        ("if-match", "\"x\""),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-storage-class", "GLACIER"),
        ("x-amz-acl", "public-read"),
    ] {
        let put = call("PUT", "/things/k").header(name, value).body("x").s3(&server);
        assert_eq!((put.status, put.code().as_str()), (501, "NotImplemented"), "{name}");
    }
    for sub_resource in ["versioning", "policy", "acl", "lifecycle", "tagging", "cors", "website"] {
        let put = call("PUT", "/things").query(sub_resource, "").body("<x/>").s3(&server);
        assert_ne!(put.status, 200, "{sub_resource}");
    }
    for (sub_resource, code) in [
        ("policy", "NoSuchBucketPolicy"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("tagging", "NoSuchTagSet"),
        ("cors", "NoSuchCORSConfiguration"),
        ("versioning", "status 200"),
        ("acl", "status 200"),
    ] {
        let get = call("GET", "/things").query(sub_resource, "").s3(&server);
        assert_eq!(get.code(), code, "{sub_resource}");
    }
    assert_eq!(
        call("GET", "/things/k").s3(&server).status,
        404,
        "nothing was put on the way"
    );
}

#[test]
fn multipart_uploads_are_made_listed_completed_twice_and_aborted() {
    let server = with_bucket();
    let created = call("POST", "/things/big")
        .query("uploads", "")
        .header("x-amz-meta-a", "1")
        .s3(&server);
    let id = created.element("UploadId").unwrap();
    let part = |number: &str, body: Vec<u8>| {
        let put = call("PUT", "/things/big")
            .query("partNumber", number)
            .query("uploadId", &id)
            .body(body);
        let put = put.s3(&server);
        assert_eq!(put.status, 200, "{}", put.text());
        put.header("etag").unwrap().to_owned()
    };
    let first = part("1", vec![1; 5 << 20]);
    let second = part("2", vec![2; 10]);
    let listed = call("GET", "/things/big").query("uploadId", &id).s3(&server);
    assert_eq!(listed.text().matches("<Part>").count(), 2);
    let complete = |parts: &[(&str, &str)]| {
        let parts: String = parts
            .iter()
            .map(|(number, etag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"))
            .collect();
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        call("POST", "/things/big")
            .query("uploadId", &id)
            .body(document)
            .s3(&server)
    };
    assert_eq!(complete(&[("2", &second), ("1", &first)]).code(), "InvalidPartOrder");
    assert_eq!(complete(&[("1", &second)]).code(), "InvalidPart");
    assert_eq!(complete(&[]).code(), "MalformedXML");
    let done = complete(&[("1", &first), ("2", &second)]);
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.element("ETag").unwrap().ends_with("-2\""), "{}", done.text());
    assert_eq!(
        complete(&[("1", &first), ("2", &second)]).status,
        200,
        "an answer may be lost"
    );
    let get = call("GET", "/things/big").s3(&server);
    assert_eq!(get.body.len(), (5 << 20) + 10);
    assert_eq!((get.body[0], get.body[5 << 20]), (1, 2));
    assert_eq!(get.header("x-amz-meta-a"), Some("1"));
    let second_part = call("GET", "/things/big").query("partNumber", "2").s3(&server);
    assert_eq!((second_part.status, second_part.body.len()), (206, 10));
    assert_eq!(second_part.header("x-amz-mp-parts-count"), Some("2"));

    let other = call("POST", "/things/gone").query("uploads", "").s3(&server);
    let other = other.element("UploadId").unwrap();
    assert!(
        call("GET", "/things")
            .query("uploads", "")
            .s3(&server)
            .text()
            .contains(&other)
    );
    let stored = server.memory.parts_stored();
    let put = call("PUT", "/things/gone")
        .query("partNumber", "1")
        .query("uploadId", &other)
        .body("x");
    assert_eq!(put.clone().s3(&server).status, 200);
    assert_eq!(server.memory.parts_stored(), stored + 1);
    assert_eq!(
        call("DELETE", "/things/gone")
            .query("uploadId", &other)
            .s3(&server)
            .status,
        204
    );
    assert_eq!(server.memory.parts_stored(), stored, "an aborted upload left its parts");
    assert_eq!(put.s3(&server).code(), "NoSuchUpload");
}

#[test]
fn many_keys_are_deleted_only_when_the_list_arrived_whole() {
    let server = with_bucket();
    for key in ["a", "b"] {
        assert_eq!(call("PUT", &format!("/things/{key}")).s3(&server).status, 200);
    }
    let list = "<Delete><Object><Key>a</Key></Object><Object><Key>never</Key></Object></Delete>";
    let delete = call("POST", "/things").query("delete", "").body(list);
    let wrong = delete
        .clone()
        .header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")
        .s3(&server);
    assert_eq!(wrong.code(), "BadDigest");
    assert_eq!(call("GET", "/things/a").s3(&server).status, 200);
    let right = delete.s3(&server);
    assert_eq!(right.text().matches("<Deleted>").count(), 2, "{}", right.text());
    assert_eq!(call("GET", "/things/a").s3(&server).status, 404);
    assert_eq!(call("GET", "/things/b").s3(&server).status, 200);
    assert_eq!(
        call("POST", "/things")
            .query("delete", "")
            .body("<Delete>")
            .s3(&server)
            .status,
        400
    );
}

#[test]
fn copies_take_bytes_and_metadata_or_new_metadata() {
    let server = with_bucket();
    let put = call("PUT", "/things/a")
        .header("x-amz-meta-k", "v")
        .header("content-type", "a/b")
        .body("bytes");
    assert_eq!(put.s3(&server).status, 200);
    let copy = call("PUT", "/things/b")
        .header("x-amz-copy-source", "/things/a")
        .s3(&server);
    assert_eq!(copy.status, 200, "{}", copy.text());
    let get = call("GET", "/things/b").s3(&server);
    assert_eq!((get.text().as_str(), get.header("x-amz-meta-k")), ("bytes", Some("v")));
    let onto_itself = call("PUT", "/things/b").header("x-amz-copy-source", "things/b");
    assert_eq!(onto_itself.clone().s3(&server).code(), "InvalidRequest");
    let replaced = onto_itself
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-meta-n", "w")
        .s3(&server);
    assert_eq!(replaced.status, 200);
    let get = call("GET", "/things/b").s3(&server);
    assert_eq!(
        (get.header("x-amz-meta-k"), get.header("x-amz-meta-n")),
        (None, Some("w"))
    );
    let failed = call("PUT", "/things/c")
        .header("x-amz-copy-source", "/things/a")
        .header("x-amz-copy-source-if-match", "\"other\"")
        .s3(&server);
    assert_eq!((failed.status, failed.code().as_str()), (412, "PreconditionFailed"));
}
