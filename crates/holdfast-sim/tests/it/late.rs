//! A body that is committed after its deadline, whose chunks may be gone by then, does not replace what is there.
//!
//! The coordinator wrote its own copy and left it to the other homes to refuse; a repair, which no deadline binds, then
//! brought it to them, and what it had replaced was dead.

use bytes::Bytes;
use holdfast_core::content::{Manifest, ManifestPart, StoredBody};
use holdfast_core::ids::PartId;
use holdfast_core::request::{Answer, Get, Put, PutValue, Request, StateChange, WantedBodies, WriteError, WriteFault};

use crate::few::{Few, key, settings};

fn put(body: StoredBody) -> Request {
    Request::Put(Put {
        settings: settings(1),
        key: key("k"),
        context: None,
        value: PutValue::Object {
            etag: "e".to_owned(),
            headers: Vec::new(),
            body,
        },
        w: None,
        wait_all: true,
    })
}

#[test]
fn a_body_after_its_deadline_replaces_nothing() {
    let mut few = Few::new(3);
    assert!(matches!(
        few.ask(0, put(StoredBody::Inline(Bytes::from_static(b"first")))),
        Answer::Put(_)
    ));
    few.settle();
    let part = ManifestPart {
        id: PartId(1),
        number: 1,
        size: 10,
        chunk_bytes: 10,
        checksums: Vec::new(),
    };
    let late = StoredBody::Chunked {
        manifest: Manifest { parts: vec![part] },
        commit_deadline_ms: 1_600_000_000_000,
    };
    for at in 0..3 {
        let refused = Answer::WriteFailed(WriteError {
            state: StateChange::Unchanged,
            fault: WriteFault::CommitDeadlinePassed,
        });
        assert_eq!(few.ask_as(8, at, put(late.clone())), refused);
    }
    few.settle();
    for at in 0..3 {
        let get = Get {
            settings: settings(1),
            key: key("k"),
            r: Some(3),
            bodies: WantedBodies::Newest,
        };
        let Answer::Got(got) = few.ask(at, Request::Get(get)) else {
            panic!("not read");
        };
        assert_eq!(&got.bodies[0].1[..], b"first");
    }
}
