//! A gateway before a running node: admitted by the token, it does what clients ask; what it may not say to a node is not heard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::content::StoredBody;
use holdfast_core::ids::{NodeId, ObjectKey, Partition, Position, RequestId, SYSTEM_BUCKET};
use holdfast_core::message::{Announcement, Copy, Envelope, Header, Message, OpId, Write, WritePurpose};
use holdfast_core::place::Place;
use holdfast_core::request::{Get, Put, PutValue, WantedBodies};
use holdfast_core::wire::message::{decode, encode};
use holdfast_node::desk::CreateBucket;
use holdfast_node::founding::JoinToken;
use holdfast_node::gateway::{AdmissionError, Admitted, GatewayToken, Running, join};
use holdfast_node::peer::{Credentials, HostReceiver, Hosts, Sent};
use holdfast_node::shell::Shell;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cluster::{Scratch, listener};
use crate::registry::{founded, start};

const SOON: Duration = Duration::from_secs(30);

/// A cluster of one, where it is, and its gateway token.
async fn alone(scratch: &Scratch) -> (Shell, SocketAddr, GatewayToken) {
    let (data, identity, listener) = founded(scratch, 1).await;
    let (address, token) = (listener.local_addr().expect("address"), GatewayToken::of(&identity));
    (start(data, identity, listener).await, address, token)
}

/// What a gateway that was admitted hears from nodes.
struct Told(mpsc::UnboundedSender<Option<Message>>);

impl HostReceiver for Told {
    fn message(&self, _: NodeId, head: Bytes, payload: Bytes) {
        let envelope = decode(head, payload).expect("readable");
        let _ = self.0.send(Some(envelope.message));
    }

    fn up(&self, _: NodeId) {
        let _ = self.0.send(None);
    }

    fn down(&self, _: NodeId) {}
}

/// Connections like those of a gateway that was admitted, on which anything can be said.
fn connected(admitted: &Admitted) -> (Hosts, mpsc::UnboundedReceiver<Option<Message>>) {
    let (sender, told) = mpsc::unbounded_channel();
    let credentials = Credentials {
        cluster: admitted.cluster,
        node: admitted.gateway,
        authority: admitted.authority.clone(),
        certificate: admitted.certificate.clone(),
        key: admitted.key.clone(),
    };
    let hosts = Hosts::new(credentials, (1, 1), Arc::new(Told(sender))).expect("usable");
    hosts.connect(admitted.contacts.clone());
    (hosts, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_reads_and_writes_what_nodes_do() {
    let scratch = Scratch::new();
    let (shell, address, token) = alone(&scratch).await;
    let admitted = join(address, &token).await.expect("admitted");
    let another = join(address, &token).await.expect("admitted");
    assert_ne!(admitted.gateway, another.gateway, "a new id for each start");
    let rests = Arc::new(AtomicUsize::new(0));
    let rested = rests.clone();
    let on_rest = Box::new(move || {
        rested.fetch_add(1, Ordering::Relaxed);
    });
    let running = Running::start(&admitted, 64 << 20, 60_000, on_rest).expect("starts");
    let desk = running.desk();
    let (bucket, made) = desk
        .create_bucket("photos", CreateBucket::default())
        .await
        .expect("made");
    assert!(made);
    assert_eq!(shell.bucket("photos").await.expect("read"), Some(bucket.clone()));
    let key = || ObjectKey {
        bucket: bucket.settings.id,
        key: "cat".into(),
    };
    let put = Put {
        settings: bucket.settings,
        key: key(),
        context: None,
        value: PutValue::Object {
            etag: "e".into(),
            headers: Vec::new(),
            body: StoredBody::Inline(Bytes::from_static(b"meow")),
        },
        w: None,
        wait_all: false,
    };
    let outcome = desk.put(RequestId(7), put.clone()).await.expect("written");
    let again = desk.put(RequestId(7), put).await.expect("written");
    assert_eq!(outcome.dot, again.dot, "the same request is one write");
    let get = || Get {
        settings: bucket.settings,
        key: key(),
        r: None,
        bodies: WantedBodies::Newest,
    };
    for body in [
        desk.get(get()).await.expect("read").bodies[0].1.clone(),
        shell.get(get()).await.expect("read").bodies[0].1.clone(),
    ] {
        assert_eq!(&body[..], b"meow");
    }
    // A context that one side sealed the other opens.
    let token = desk.seal_context(bucket.settings.id, "cat", &outcome.context);
    assert_eq!(
        shell.desk().open_context(bucket.settings.id, "cat", &token),
        Some(outcome.context)
    );
    let found = running.find(Position(1)).await.expect("not too busy");
    assert_eq!(found.owner.map(|owner| owner.node), Some(admitted.contacts[0].0));
    let came_to_rest = async {
        while rests.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, came_to_rest).await.expect("it comes to rest");
    drop(running);
    shell.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_knows_the_token_of_this_cluster_is_admitted() {
    let scratch = Scratch::new();
    let (shell, address, token) = alone(&scratch).await;
    let JoinToken {
        cluster, fingerprint, ..
    } = token.0;
    let guessed = GatewayToken(JoinToken::new(cluster, fingerprint, [7; 16]));
    let refused = join(address, &guessed).await.err().expect("refused");
    assert!(
        matches!(&refused, AdmissionError::Refused(why) if why.contains("not valid")),
        "{refused:?}"
    );
    let foreign = GatewayToken(JoinToken::new(cluster, [7; 32], token.0.secret.0));
    let refused = join(address, &foreign).await.err().expect("refused");
    assert!(matches!(refused, AdmissionError::Foreign(_)), "{refused:?}");
    let (closed, nowhere) = listener().await;
    drop(closed);
    let nobody = join(nowhere, &token).await.err().expect("nobody answers");
    assert!(matches!(nobody, AdmissionError::Again(_)), "{nobody:?}");
    shell.stop().await.expect("stops");
}

/// Whatever members say to each other, a node takes from members alone: a gateway can neither write nor read a copy, nor pass for a
/// member that has started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_members_say_is_not_heard_from_a_gateway() {
    let scratch = Scratch::new();
    let (shell, address, token) = alone(&scratch).await;
    let admitted = join(address, &token).await.expect("admitted");
    let (hosts, mut told) = connected(&admitted);
    let mut next = async || timeout(SOON, told.recv()).await.expect("in time").expect("open");
    assert_eq!(next().await, None, "it is connected");
    let place = || Place {
        partition: Partition(0),
        bucket: SYSTEM_BUCKET,
        shard: 0,
        key: "k/forged".into(),
    };
    let forged = [
        Message::Write(Write {
            op: OpId(1),
            place: place(),
            own_context: Default::default(),
            copy: Copy::default(),
            side: Vec::new(),
            purpose: WritePurpose::Repair,
            stands_for: Vec::new(),
        }),
        Message::Read {
            op: OpId(2),
            place: place(),
            known: None,
            bodies: WantedBodies::All,
            to_merge: false,
        },
        Message::ReadSide {
            op: OpId(3),
            ranges: Vec::new(),
            count_max: 1,
        },
        Message::Announce {
            op: OpId(4),
            said: Announcement::default(),
        },
    ];
    let find = Message::Find {
        op: OpId(5),
        to: Position(1),
        dead: Vec::new(),
    };
    for message in forged.into_iter().chain([find]) {
        let header = Header {
            cluster: admitted.cluster,
            deadline_ms: 5_000,
            ..Header::default()
        };
        let (head, payload) = encode(&Envelope { header, message });
        assert_eq!(hosts.send(admitted.contacts[0].0, head, payload), Sent::Queued);
    }
    // Small messages keep their order, and the last one alone is answered.
    let answer = next().await;
    assert!(
        matches!(answer, Some(Message::FindReply { op: OpId(5), .. })),
        "{answer:?}"
    );
    drop(hosts);
    shell.stop().await.expect("stops");
}
