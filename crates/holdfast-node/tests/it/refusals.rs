//! What must not get in, and must not disturb those who are in.

use crate::cluster::{Event, Node, Scratch, founded, running};
use bytes::Bytes;
use holdfast_node::peer::{Bounds, Sent};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The members still hear each other.
async fn assert_undisturbed(nodes: &mut [Node]) {
    let (from, to) = (nodes[0].id(), nodes[1].id());
    assert_eq!(
        nodes[0].peers().send(to, b"still here".to_vec(), Bytes::new()),
        Sent::Queued
    );
    loop {
        match nodes[1].event().await {
            Event::Message(sender, head, _) => {
                assert_eq!((sender, &head[..]), (from, &b"still here"[..]));
                break;
            }
            Event::Up(_) => {}
            Event::Down(_) => panic!("a session was disturbed"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_http_on_the_port_are_hung_up_on() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 2).await;
    let garbage: Vec<u8> = (0..100_000_u32)
        .map(|i| u8::try_from(i.wrapping_mul(2_654_435_761) >> 24).expect("a byte"))
        .collect();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\0\0\0\0",
        b"\x16\x03\x01\xff\xff\xff",
        &garbage,
    ] {
        let mut stream = TcpStream::connect(nodes[1].address).await.expect("connect");
        // The node may hang up before all is written.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(8), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "still connected");
        assert!(answer.len() < 64, "at most a TLS alert, not {} bytes", answer.len());
    }
    assert_undisturbed(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_give_way_to_members() {
    let scratch = Scratch::new();
    let mut nodes = founded(&scratch, 2).await;
    nodes[1].start(1, Bounds::default());
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(nodes[1].address).await.expect("connect"));
    }
    nodes[0].start(1, Bounds::default());
    nodes[0].wait_up(1).await;
    nodes[1].wait_up(1).await;
    // Slow ones are hung up on, not only those that were pushed out.
    let mut last = silent.pop().expect("one");
    let ended = timeout(Duration::from_secs(8), last.read(&mut [0; 16]))
        .await
        .expect("hung up in time");
    assert!(matches!(ended, Ok(0) | Err(_)), "hung up");
    assert_undisturbed(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_refused() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 2).await;
    let mut foreign = founded(&scratch, 2).await;
    // It believes that its peer lives where a node of ours does.
    let mut members = foreign[0].founding.peers();
    members[1].address = nodes[1].address.to_string();
    foreign[0].start_with(1, Bounds::default(), members, (1, 1));
    sleep(Duration::from_millis(600)).await;
    assert!(!foreign[0].peers().is_up(foreign[1].id()));
    assert_undisturbed(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_a_foreign_authority_is_refused_whatever_it_says() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 2).await;
    let mut forged = founded(&scratch, 2).await;
    // All ids are those of our cluster, certified by an authority of the forger's own.
    let real = nodes[0].founding.identity.clone();
    let authority = holdfast_node::identity::authority::Authority::generate(real.cluster).expect("authority");
    let key = holdfast_node::identity::authority::generate_key().expect("key");
    let public = holdfast_node::identity::authority::public_key(&key).expect("public key");
    let identity = &mut forged[0].founding.identity;
    identity.cluster = real.cluster;
    identity.node = real.node;
    identity.authority = authority.certificate().to_vec();
    identity.certificate = authority.admit(real.node, &public).expect("certificate");
    identity.key = key;
    let target = nodes[1].id();
    let members = nodes[0].founding.peers();
    forged[0].start_with(1, Bounds::default(), members, (1, 1));
    sleep(Duration::from_millis(600)).await;
    assert!(!forged[0].peers().is_up(target));
    assert_undisturbed(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_cannot_pass_for_another() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 3).await;
    let mut thief = founded(&scratch, 1).await;
    // The third node's own certificate and key, under the first one's name.
    thief[0].founding.identity = nodes[2].founding.identity.clone();
    thief[0].founding.identity.node = nodes[0].id();
    let target = nodes[1].id();
    thief[0].start_with(1, Bounds::default(), nodes[0].founding.peers(), (1, 1));
    sleep(Duration::from_millis(600)).await;
    assert!(!thief[0].peers().is_up(target));
    assert_undisturbed(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_common_format_level_is_refused_until_upgraded() {
    let scratch = Scratch::new();
    let mut nodes = founded(&scratch, 2).await;
    let members = nodes[0].founding.peers();
    nodes[0].start_with(1, Bounds::default(), members.clone(), (1, 2));
    nodes[1].start_with(1, Bounds::default(), members.clone(), (3, 4));
    sleep(Duration::from_millis(600)).await;
    assert!(!nodes[0].peers().is_up(nodes[1].id()));
    nodes[0].stop();
    nodes[0].start_with(2, Bounds::default(), members, (2, 3));
    nodes[0].wait_up(1).await;
    nodes[1].wait_up(1).await;
    assert_undisturbed(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_in_the_layout_is_refused() {
    let scratch = Scratch::new();
    let mut nodes = founded(&scratch, 3).await;
    let mut members = nodes[0].founding.peers();
    let third = members.clone();
    members.pop();
    nodes[0].start_with(1, Bounds::default(), members.clone(), (1, 1));
    nodes[1].start_with(1, Bounds::default(), members, (1, 1));
    nodes[2].start_with(1, Bounds::default(), third, (1, 1));
    nodes[0].wait_up(1).await;
    nodes[1].wait_up(1).await;
    sleep(Duration::from_millis(600)).await;
    assert!(!nodes[2].peers().is_up(nodes[0].id()));
    assert_undisturbed(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_certificate_can_send_nothing() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 2).await;
    let identity = &nodes[0].founding.identity;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.authority.clone().into()).expect("root");
    let provider = holdfast_node::peer::provider();
    for alpn in [&b""[..], b"holdfast-peer/1", b"holdfast-join/2"] {
        let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("versions")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        if !alpn.is_empty() {
            config.alpn_protocols = vec![alpn.to_vec()];
        }
        let stream = TcpStream::connect(nodes[1].address).await.expect("connect");
        let name = holdfast_node::peer::any_member(identity.cluster).expect("name");
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        if let Ok(mut stream) = connector.connect(name, stream).await {
            let mut answer = Vec::new();
            let ended = timeout(Duration::from_secs(8), stream.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "still connected");
            assert!(answer.is_empty(), "was told {answer:?}");
        }
    }
    assert_undisturbed(&mut nodes).await;
}
