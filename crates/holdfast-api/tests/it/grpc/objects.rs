//! Buckets and objects: what goes up comes back, with everything that is known of it.

use holdfast_core::request::{ReadFault, WriteFault};
use holdfast_proto::v1;
use tonic::Code;

use super::{Clients, asked, header, tell, told};
use crate::client::exchange;
use crate::server::{Server, TOKEN};
use crate::sign::base64;

#[test]
fn buckets_are_made_told_listed_and_deleted() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        let request = v1::CreateBucketRequest {
            name: "more".to_owned(),
            n: Some(3),
            w: Some(1),
            conflict: v1::Conflict::Siblings.into(),
            sloppy: Some(false),
            ..v1::CreateBucketRequest::default()
        };
        let made = clients.buckets.create(request.clone()).await.unwrap().into_inner();
        let bucket = made.bucket.clone().unwrap();
        assert!(made.created_now);
        assert_eq!((bucket.n, bucket.w, bucket.sloppy), (3, 1, false));
        assert_eq!(
            (bucket.conflict(), bucket.owner.as_str()),
            (v1::Conflict::Siblings, "admin")
        );
        let again = clients.buckets.create(request).await.unwrap().into_inner();
        assert_eq!((again.created_now, again.bucket), (false, made.bucket));
        clients.create(v1::Conflict::Unspecified).await;
        clients.put(header("a"), b"12345").await.unwrap();

        let mut names = Vec::new();
        let mut list = clients
            .buckets
            .list(v1::ListBucketsRequest {})
            .await
            .unwrap()
            .into_inner();
        while let Some(bucket) = list.message().await.unwrap() {
            names.push(bucket.name);
        }
        assert_eq!(names, ["more", "things"]);
        let things = || "things".to_owned();
        let get = v1::GetBucketRequest { name: things() };
        let count = clients.buckets.get(get).await.unwrap().into_inner();
        assert_eq!((count.objects, count.bytes), (1, 5));
        assert_eq!(count.bucket.unwrap().conflict(), v1::Conflict::Newest);

        let full = v1::DeleteBucketRequest { name: things() };
        let full = clients.buckets.delete(full).await.unwrap_err();
        assert_eq!(
            (full.code(), told(&full, "holdfast-error")),
            (Code::FailedPrecondition, "bucket_not_empty")
        );
        let empty = v1::DeleteBucketRequest {
            name: "more".to_owned(),
        };
        clients.buckets.delete(empty.clone()).await.unwrap();
        let gone = clients.buckets.delete(empty).await.unwrap_err();
        assert_eq!(
            (gone.code(), told(&gone, "holdfast-error")),
            (Code::NotFound, "no_such_bucket")
        );
        for request in [
            v1::CreateBucketRequest {
                name: "UPPER".to_owned(),
                ..Default::default()
            },
            v1::CreateBucketRequest {
                name: things(),
                r: Some(4),
                ..Default::default()
            },
            v1::CreateBucketRequest {
                name: things(),
                w: Some(300),
                ..Default::default()
            },
            v1::CreateBucketRequest {
                name: things(),
                conflict: 77,
                ..Default::default()
            },
        ] {
            let refused = clients.buckets.create(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        }
    });
}

#[test]
fn an_object_comes_back_as_it_went() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        let body: Vec<u8> = (0..5_000_000_u32).map(|at| (at >> 7) as u8).collect();
        let mut put = header("big");
        put.size = Some(body.len() as u64);
        put.wait_all = true;
        put.headers.insert("content-type".to_owned(), "image/jpeg".to_owned());
        put.headers.insert("x-amz-meta-colour".to_owned(), "grün".to_owned());
        let written = clients.put(put, &body).await.unwrap();
        assert_eq!((written.siblings, written.key.as_str()), (1, "big"));
        assert_eq!(written.replicas_written, [written.node.clone().unwrap()]);
        assert_eq!(written.preference_list.len(), 1);
        assert!(!written.clocks.is_empty() && !written.context.is_empty());
        assert!(written.modified.is_some());

        let read = clients.get(asked("big")).await.unwrap();
        let version = read.header.version.unwrap();
        assert!(read.body == body);
        assert_eq!(
            (version.size, version.dot, version.etag),
            (5_000_000, written.dot, written.etag)
        );
        assert_eq!(version.headers["content-type"], "image/jpeg");
        assert_eq!(version.headers["x-amz-meta-colour"], "grün");
        assert!(read.header.found.unwrap().exists);

        let part = v1::GetObjectRequest {
            offset: 4_000_000,
            length: Some(9),
            ..asked("big")
        };
        assert_eq!(clients.get(part).await.unwrap().body, body[4_000_000..4_000_009]);
        let last = v1::GetObjectRequest {
            last: Some(3),
            ..asked("big")
        };
        let last = clients.get(last).await.unwrap();
        assert_eq!(
            (last.header.offset, last.header.length, last.body),
            (4_999_997, 3, body[4_999_997..].to_vec())
        );
        let beyond = v1::GetObjectRequest {
            offset: 5_000_001,
            ..asked("big")
        };
        assert_eq!(clients.get(beyond).await.unwrap_err().code(), Code::OutOfRange);
        assert_eq!(clients.put(header("empty"), b"").await.unwrap().siblings, 1);
        assert_eq!(clients.get(asked("empty")).await.unwrap().body, b"");
    });
}

#[test]
fn what_is_gone_leaves_its_context() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Siblings).await;
        assert!(!clients.stat("k").await.exists);
        clients.put(header("k"), b"x").await.unwrap();
        let delete = v1::DeleteObjectRequest {
            bucket: "things".to_owned(),
            key: "k".to_owned(),
            ..v1::DeleteObjectRequest::default()
        };
        let deleted = clients.objects.delete(delete).await.unwrap().into_inner();
        let gone = clients.get(asked("k")).await.unwrap_err();
        assert_eq!(
            (gone.code(), told(&gone, "holdfast-error")),
            (Code::NotFound, "no_such_object")
        );
        assert!(told(&gone, "holdfast-what-to-do").contains("Objects.List"));
        let found = clients.stat("k").await;
        assert!(!found.exists && found.versions[0].deleted);
        assert_eq!(found.versions[0].dot, deleted.dot);
        let put = v1::PutHeader {
            context: Some(told(&gone, "holdfast-context").to_owned()),
            ..header("k")
        };
        assert_eq!(clients.put(put, b"y").await.unwrap().siblings, 1);
    });
}

#[test]
fn siblings_are_told_read_and_resolved() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Siblings).await;
        let seen = clients.put(header("cart"), b"[]").await.unwrap().context;
        let with = |context: &str| v1::PutHeader {
            context: Some(context.to_owned()),
            ..header("cart")
        };
        clients.put(with(&seen), b"[milk]").await.unwrap();
        assert_eq!(clients.put(with(&seen), b"[tea]").await.unwrap().siblings, 2);

        let mut parts = clients.objects.get(asked("cart")).await.unwrap().into_inner();
        let first = parts.message().await.unwrap().unwrap();
        let Some(v1::get_object_response::Part::Header(choices)) = first.part else {
            panic!("a header comes first: {first:?}");
        };
        assert!(choices.version.is_none());
        let status = parts.message().await.unwrap_err();
        assert_eq!(
            (status.code(), told(&status, "holdfast-error")),
            (Code::FailedPrecondition, "siblings")
        );
        let found = choices.found.unwrap();
        assert_eq!(
            (found.siblings, found.context.as_str()),
            (2, told(&status, "holdfast-context"))
        );

        let mut bodies = Vec::new();
        for version in &found.versions {
            let one = v1::GetObjectRequest {
                sibling: Some(version.dot.clone()),
                ..asked("cart")
            };
            bodies.push(clients.get(one).await.unwrap().body);
        }
        assert_eq!(bodies, [b"[tea]".to_vec(), b"[milk]".to_vec()]);
        assert_eq!(
            clients
                .put(with(&found.context), b"[milk, tea]")
                .await
                .unwrap()
                .siblings,
            1
        );
        assert_eq!(clients.get(asked("cart")).await.unwrap().body, b"[milk, tea]");

        let stolen = v1::PutHeader {
            context: Some(found.context),
            ..header("other")
        };
        assert_eq!(
            clients.put(stolen, b"x").await.unwrap_err().code(),
            Code::InvalidArgument
        );
        let no_dot = v1::GetObjectRequest {
            sibling: Some("x".to_owned()),
            ..asked("cart")
        };
        assert_eq!(clients.get(no_dot).await.unwrap_err().code(), Code::InvalidArgument);
    });
}

/// Rule D7: a retry is the same write, also when it comes by another way.
#[test]
fn a_retry_is_the_same_write() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        let named = v1::PutHeader {
            request_id: Some("once".to_owned()),
            ..header("k")
        };
        let first = clients.put(named.clone(), b"only").await.unwrap();
        assert_eq!(clients.put(named.clone(), b"only").await.unwrap().dot, first.dot);
        let by_rest = format!(
            "PUT /v1/buckets/things/objects/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
             holdfast-request-id: once\r\ncontent-length: 4\r\n\r\nonly"
        );
        assert_eq!(exchange(server.rest, by_rest.as_bytes()).json()["dot"], first.dot);
        let other = clients.put(named, b"another length").await.unwrap_err();
        assert_eq!(
            (other.code(), told(&other, "holdfast-error")),
            (Code::AlreadyExists, "request_id_reused")
        );
    });
}

#[test]
fn what_a_header_claims_is_compared() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        let claim = |name: &str, value: &str| {
            let mut put = header("k");
            put.headers.insert(name.to_owned(), value.to_owned());
            put
        };
        let md5 = base64(&[
            0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0, 0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72,
        ]);
        clients.put(claim("content-md5", &md5), b"abc").await.unwrap();
        let crc = clients
            .put(claim("x-amz-checksum-crc32c", "Nks/tw=="), b"abc")
            .await
            .unwrap();
        assert_eq!(
            clients.stat("k").await.versions[0].headers["x-amz-checksum-crc32c"],
            "Nks/tw=="
        );
        for (put, error) in [
            (claim("content-md5", &md5), "bad_digest"),
            (claim("x-amz-checksum-crc32c", "Nks/tw=="), "bad_digest"),
            (claim("authorization", "x"), "bad_request"),
            (claim("Content-Type", "x"), "bad_request"),
            (claim("x-amz-meta-A", "x"), "bad_request"),
            (claim("content-type", "a\nb"), "bad_request"),
            (
                v1::PutHeader {
                    size: Some(3),
                    ..header("k")
                },
                "bad_request",
            ),
            (
                v1::PutHeader {
                    size: Some(5),
                    ..header("k")
                },
                "bad_request",
            ),
            (
                v1::PutHeader {
                    size: Some(6 << 30),
                    ..header("k")
                },
                "too_large",
            ),
            (
                v1::PutHeader {
                    w: Some(256),
                    ..header("k")
                },
                "bad_request",
            ),
            (header(&"k".repeat(1025)), "bad_request"),
            (header(""), "bad_request"),
        ] {
            let refused = clients.put(put.clone(), b"abcd").await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{put:?}");
            assert_eq!(told(&refused, "holdfast-error"), error, "{put:?} {refused:?}");
            assert_eq!(told(&refused, "holdfast-state-changed"), "false");
        }
        assert_eq!(
            clients.stat("k").await.versions[0].dot,
            crc.dot,
            "nothing else was written"
        );
    });
}

#[test]
fn listings_go_page_by_page_and_stop_where_they_are_told() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        for number in 0..1_203 {
            clients
                .put(header(&format!("k/{}/{number:04}", number % 3)), b"")
                .await
                .unwrap();
        }
        let all = v1::ListObjectsRequest {
            bucket: "things".to_owned(),
            ..v1::ListObjectsRequest::default()
        };
        let pages = async |clients: &mut Clients, request: v1::ListObjectsRequest| {
            let mut pages = Vec::new();
            let mut list = clients.objects.list(request).await.unwrap().into_inner();
            while let Some(page) = list.message().await.unwrap() {
                pages.push(page);
            }
            pages
        };
        let keys = |pages: &[v1::ListObjectsResponse]| -> Vec<String> {
            pages
                .iter()
                .flat_map(|page| &page.objects)
                .map(|object| object.key.clone())
                .collect()
        };
        let told = pages(&mut clients, all.clone()).await;
        assert_eq!((told.len(), keys(&told).len(), told[2].next.clone()), (3, 1_203, None));
        assert!(keys(&told).is_sorted());
        let some = pages(
            &mut clients,
            v1::ListObjectsRequest {
                limit: 700,
                ..all.clone()
            },
        )
        .await;
        assert_eq!(keys(&some), keys(&told)[..700]);
        let after = some.last().unwrap().next.clone().unwrap();
        let rest = pages(&mut clients, v1::ListObjectsRequest { after, ..all.clone() }).await;
        assert_eq!(keys(&rest), keys(&told)[700..]);
        let grouped = v1::ListObjectsRequest {
            prefix: "k/".to_owned(),
            delimiter: "/".to_owned(),
            ..all
        };
        let grouped = pages(&mut clients, grouped).await;
        assert_eq!(
            (grouped.len(), grouped[0].prefixes.join(" ").as_str()),
            (1, "k/0/ k/1/ k/2/")
        );
    });
}

#[test]
fn faults_say_what_to_do_and_whether_anything_changed() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        clients.put(header("k"), b"x").await.unwrap();
        server.memory.fail_writes(Some(WriteFault::Unavailable {
            needed: 2,
            reached: 1,
            down: vec![holdfast_core::ids::NodeId(7)],
        }));
        let status = clients.put(header("k"), b"y").await.unwrap_err();
        assert_eq!(
            (status.code(), told(&status, "holdfast-error")),
            (Code::Unavailable, "unavailable")
        );
        assert_eq!(told(&status, "holdfast-down"), "0000000000000007");
        assert!(told(&status, "holdfast-what-to-do").contains("Cluster.View"));
        server.memory.fail_writes(Some(WriteFault::DiskFull));
        assert_eq!(
            clients.put(header("k"), b"y").await.unwrap_err().code(),
            Code::ResourceExhausted
        );
        server.memory.fail_reads(Some(ReadFault::Damaged));
        assert_eq!(clients.get(asked("k")).await.unwrap_err().code(), Code::DataLoss);
    });
}
