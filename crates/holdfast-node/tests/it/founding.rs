//! Founding over the network: late nodes, restarts on either side, wrong tokens.

use crate::cluster::{Scratch, about, listener};
use holdfast_node::founding::{
    About, Admission, FoundConfig, Founder, Founding, FoundingError, JoinConfig, JoinToken, RegisteredWith,
    Registration, Seeds, found_alone, join, late_answers,
};
use holdfast_node::identity::Identity;
use holdfast_node::peer::{Bounds, Config, Greeting, Peers, Receiver, Strangers};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

#[expect(clippy::unnecessary_wraps, reason = "others refuse")]
fn payload(members: &[Registration]) -> Result<Vec<u8>, String> {
    Ok(members.iter().flat_map(|member| member.about.name.bytes()).collect())
}

fn open(data: &Path, nodes: usize, address: SocketAddr) -> Founder {
    Founder::open(FoundConfig {
        data: data.to_owned(),
        nodes,
        about: about("founder", address),
        secret: None,
    })
    .expect("founder")
}

type Running = JoinHandle<Result<(Founding, Arc<dyn Strangers>), FoundingError>>;

fn run(founder: Founder, listener: Arc<TcpListener>) -> Running {
    tokio::spawn(founder.run(listener, payload))
}

fn joining(data: &Path, founder: SocketAddr, token: JoinToken, about: About) -> JoinConfig {
    JoinConfig {
        data: data.to_owned(),
        seeds: Seeds::parse(&founder.to_string(), 9002).expect("a seed"),
        admission: Admission::Token(token),
        about,
    }
}

async fn soon<T>(result: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), result).await.expect("in time")
}

struct Nobody;

impl Receiver for Nobody {
    fn message(&self, _: holdfast_core::ids::NodeId, _: bytes::Bytes, _: bytes::Bytes) {}
    fn up(&self, _: &Greeting) {}
    fn down(&self, _: holdfast_core::ids::NodeId) {}
}

pub fn serve(founding: &Founding, strangers: Arc<dyn Strangers>, listener: Arc<TcpListener>) -> Peers {
    let config = Config {
        credentials: founding.identity.credentials(),
        actor: holdfast_core::ids::ActorId(1),
        boot: 1,
        format_levels: (1, 1),
        members: founding.peers(),
        bounds: Bounds::default(),
        strangers: Some(strangers),
        gateways: None,
    };
    Peers::start(config, listener, Arc::new(Nobody)).expect("start")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_found_a_cluster_though_one_comes_late() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let founder = open(&scratch.directory("f"), 3, address);
    let token: JoinToken = founder.token().to_string().parse().expect("token");
    let founding = run(founder, door);
    let first = tokio::spawn(join(joining(
        &scratch.directory("a"),
        address,
        token,
        about("a", "127.0.0.1:1"),
    )));
    sleep(Duration::from_millis(300)).await;
    assert!(!founding.is_finished() && !first.is_finished(), "two of three");
    let late = tokio::spawn(join(joining(
        &scratch.directory("b"),
        address,
        token,
        about("b", "127.0.0.1:2"),
    )));
    let (founder, _answers) = soon(founding).await.expect("task").expect("founding");
    let first = soon(first).await.expect("task").expect("join");
    let late = soon(late).await.expect("task").expect("join");
    let mut names: Vec<&str> = founder
        .members
        .iter()
        .map(|member| member.about.name.as_str())
        .collect();
    assert_eq!(
        founder.identity.layout,
        names.concat().as_bytes(),
        "composed of all, once"
    );
    assert_eq!(names[0], "founder");
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "founder"]);
    for (data, member) in [("f", &founder), ("a", &first), ("b", &late)] {
        assert_eq!(member.members, founder.members);
        let stored = Identity::load(&scratch.directory(data)).expect("load").expect("there");
        assert_eq!(
            (stored.cluster, stored.node),
            (founder.identity.cluster, member.identity.node)
        );
        assert_eq!(stored.layout, founder.identity.layout);
        assert_eq!(stored.secret, founder.identity.secret);
        assert!(
            stored.authority_key.is_some(),
            "every founding member can admit others later"
        );
        let with = RegisteredWith::load(&scratch.directory(data))
            .expect("load")
            .expect("there");
        assert_eq!(
            (with.founder, with.name.as_str(), with.address),
            (founder.identity.node, "founder", address.to_string()),
            "each knows with whom it registered"
        );
    }
    assert!(
        matches!(
            join(joining(&scratch.directory("a"), address, token, about("a", "h:1"))).await,
            Err(FoundingError::Settings(_))
        ),
        "a member does not join again"
    );
    let again = FoundConfig {
        data: scratch.directory("f"),
        nodes: 3,
        about: about("founder", address),
        secret: None,
    };
    assert!(
        matches!(Founder::open(again), Err(FoundingError::Settings(_))),
        "nor is it founded again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_may_be_killed_and_ids_stay() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let (founder_data, joiner_data) = (scratch.directory("f"), scratch.directory("a"));
    let founder = open(&founder_data, 3, address);
    let token = founder.token();
    let running = run(founder, door.clone());
    let joiner = tokio::spawn(join(joining(&joiner_data, address, token, about("a", "127.0.0.1:1"))));
    // The founder's record is written before it answers: once the joiner is in it, both may die.
    let recorded = |bytes: Vec<u8>| bytes.windows(11).any(|text| text == b"127.0.0.1:1");
    while !std::fs::read(founder_data.join("identity.founding")).is_ok_and(recorded) {
        sleep(Duration::from_millis(10)).await;
    }
    joiner.abort();
    running.abort();
    let _ = running.await;
    // The founder comes back with the same token and the registration; so does the joiner with its key.
    let founder = open(&founder_data, 3, address);
    assert_eq!(founder.token().to_string(), token.to_string());
    let running = run(founder, door.clone());
    let joiner = tokio::spawn(join(joining(&joiner_data, address, token, about("a", "127.0.0.1:1"))));
    sleep(Duration::from_millis(300)).await;
    assert!(!running.is_finished(), "the same node counted twice");
    let last = tokio::spawn(join(joining(
        &scratch.directory("b"),
        address,
        token,
        about("b", "127.0.0.1:2"),
    )));
    let (founding, answers) = soon(running).await.expect("task").expect("founding");
    // The first joiner is on record since before the kill, so the founding did not wait for it to be back.
    let _peers = serve(&founding, answers, door);
    let first = soon(joiner).await.expect("task").expect("join");
    soon(last).await.expect("task").expect("join");
    assert_eq!(founding.members.len(), 3);
    let named = founding
        .members
        .iter()
        .find(|member| member.about.name == "a")
        .map(|member| member.id);
    assert_eq!(named, Some(first.identity.node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_repeated_and_strangers_are_turned_away() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let (founder_data, joiner_data) = (scratch.directory("f"), scratch.directory("a"));
    let founder = open(&founder_data, 2, address);
    let token = founder.token();
    let running = run(founder, door.clone());
    let joined = soon(join(joining(&joiner_data, address, token, about("a", "127.0.0.1:1"))))
        .await
        .expect("join");
    let (founding, answers) = soon(running).await.expect("task").expect("founding");
    drop(answers);
    // As if the node had been killed before it could write down who it is: only its key is left.
    let key = std::fs::read(joiner_data.join("identity/node.key")).expect("key");
    std::fs::remove_dir_all(joiner_data.join("identity")).expect("remove");
    std::fs::write(joiner_data.join("identity.joining"), key).expect("write");
    // The founder was restarted, too.
    let answers = late_answers(&founder_data, None)
        .expect("load")
        .expect("the founder has answers");
    assert!(late_answers(&joiner_data, None).expect("load").is_none());
    let peers = serve(&founding, answers, door);
    let again = soon(join(joining(&joiner_data, address, token, about("a", "127.0.0.1:1"))))
        .await
        .expect("join");
    assert_eq!(
        (again.identity.node, again.members),
        (joined.identity.node, joined.members)
    );
    let stranger = soon(join(joining(
        &scratch.directory("x"),
        address,
        token,
        about("x", "127.0.0.1:3"),
    )))
    .await;
    let Err(FoundingError::Refused(reason)) = stranger else {
        panic!("{stranger:?}")
    };
    assert!(reason.contains("joining a founded cluster comes later"), "{reason}");
    drop(peers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_and_taken_names_are_told_to_the_operator() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let founder = open(&scratch.directory("f"), 3, address);
    let token = founder.token();
    let running = run(founder, door);
    let mut guessed = token;
    guessed.secret.0[3] ^= 1;
    let refused = |result: Result<Founding, FoundingError>| match result {
        Err(error @ (FoundingError::Refused(_) | FoundingError::Founder(_) | FoundingError::Settings(_))) => {
            error.to_string()
        }
        other => panic!("{other:?}"),
    };
    let attempt = |name: &str, token: JoinToken, about: About| {
        let config = joining(&scratch.directory(name), address, token, about);
        async move { refused(soon(join(config)).await) }
    };
    let reason = attempt("x", guessed, about("x", "127.0.0.1:3")).await;
    assert!(reason.contains("join token is not valid"), "{reason}");
    let mut other_cluster = token;
    other_cluster.fingerprint[0] ^= 1;
    let reason = attempt("x", other_cluster, about("x", "127.0.0.1:3")).await;
    assert!(
        reason.contains("not of the cluster that the join token is for"),
        "{reason}"
    );
    let reason = attempt("x", token, about("founder", "127.0.0.1:3")).await;
    assert!(reason.contains("another name"), "{reason}");
    // It stays on record though its process ends.
    let other = tokio::spawn(join(joining(
        &scratch.directory("y"),
        address,
        token,
        about("y", "y.example:4"),
    )));
    let recorded = |bytes: Vec<u8>| bytes.windows(11).any(|text| text == b"y.example:4");
    while !std::fs::read(scratch.directory("f").join("identity.founding")).is_ok_and(recorded) {
        sleep(Duration::from_millis(10)).await;
    }
    other.abort();
    let reason = attempt("x", token, about("x", "y.example:4")).await;
    assert!(
        reason.contains("another node registered with the node address"),
        "{reason}"
    );
    let reason = attempt("x", token, about("x", "no port")).await;
    assert!(reason.contains("host:port"), "{reason}");
    assert!(!running.is_finished(), "none of the refused counts");
    running.abort();
}

/// Carries one connection to the founder and hands on what the joiner says in lumps, as a busy machine would.
async fn lumping(founder: SocketAddr) -> SocketAddr {
    let (door, address) = listener().await;
    tokio::spawn(async move {
        let (near, _) = door.accept().await.expect("accept");
        let far = TcpStream::connect(founder).await.expect("connect");
        let ((mut from_joiner, mut to_joiner), (mut from_founder, mut to_founder)) =
            (near.into_split(), far.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_founder, &mut to_joiner).await });
        let mut lump = Vec::new();
        while from_joiner.read_buf(&mut lump).await.is_ok_and(|bytes| bytes > 0) {
            sleep(Duration::from_millis(100)).await;
            let mut more = [0; 4096];
            while let Ok(bytes @ 1..) = from_joiner.try_read(&mut more) {
                lump.extend_from_slice(&more[..bytes]);
            }
            to_founder.write_all(&lump).await.expect("write");
            lump.clear();
        }
    });
    address
}

/// A registration that followed the handshake at once could reach the founder together with the handshake's last
/// message. It was then refused ("spoke out of turn"), and the joiner tried again up to 3 s later; on a busy machine that was most starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_may_not_overtake_the_handshake() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let founder = open(&scratch.directory("f"), 2, address);
    let token = founder.token();
    let founding = run(founder, door);
    // It takes one connection only, so the first attempt must do.
    let through = lumping(address).await;
    let joined = join(joining(
        &scratch.directory("a"),
        through,
        token,
        about("a", "127.0.0.1:1"),
    ));
    soon(joined).await.expect("join");
    soon(founding).await.expect("task").expect("founding");
}

#[test]
fn alone_needs_no_network() {
    let scratch = Scratch::new();
    let data = scratch.directory("f");
    let founding = found_alone(&data, about("me", "127.0.0.1:9002"), payload).expect("founding");
    assert_eq!(founding.identity.layout, b"me");
    let mut stored = Identity::load(&data).expect("load").expect("there");
    assert_eq!(stored.node, founding.identity.node);
    stored.write_layout(&data, b"newer".to_vec()).expect("write");
    assert_eq!(Identity::load(&data).expect("load").expect("there").layout, b"newer");
}

/// A payload that nobody could read would make nodes that never start, so it must be possible to refuse one.
#[test]
fn what_cannot_be_composed_is_not_founded() {
    let scratch = Scratch::new();
    let data = scratch.directory("f");
    let refused = found_alone(&data, about("me", "127.0.0.1:9002"), |_| Err("too many".into()));
    assert_eq!(refused.expect_err("refused").to_string(), "too many");
    assert!(Identity::load(&data).expect("load").is_none());
    found_alone(&data, about("me", "127.0.0.1:9002"), payload).expect("founding");
}

/// A founder that was killed while it published its identity left `identity.new` behind, a directory, where its next start wanted to
/// write the record of registrations: it did not start any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_was_cut_short_is_in_nobodys_way() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    for node in ["f", "a"] {
        let cut_short = scratch.directory(node).join("identity.new");
        std::fs::create_dir(&cut_short).expect("directory");
        std::fs::write(cut_short.join("node"), "").expect("write");
    }
    let founder = open(&scratch.directory("f"), 2, address);
    let token = founder.token();
    let running = run(founder, door);
    let joined = joining(&scratch.directory("a"), address, token, about("a", "127.0.0.1:1"));
    soon(join(joined)).await.expect("join");
    soon(running).await.expect("task").expect("founding");
    for node in ["f", "a"] {
        assert!(Identity::load(&scratch.directory(node)).expect("load").is_some());
        assert!(!scratch.directory(node).join("identity.new").exists());
    }
}

#[test]
fn secrets_are_private_and_damage_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let data = scratch.directory("f");
    assert!(Identity::load(&data).expect("load").is_none());
    found_alone(&data, about("me", "127.0.0.1:9002"), payload).expect("founding");
    let identity = data.join("identity");
    for secret in ["node.key", "authority.key", "secret", "founding"] {
        let mode = std::fs::metadata(identity.join(secret))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    assert!(!data.join("identity.founding").exists());
    for (file, content) in [
        ("node", "nonsense"),
        ("node.pem", "nonsense"),
        ("secret", "abc"),
        ("node.key", ""),
    ] {
        let kept = std::fs::read(identity.join(file)).expect("read");
        std::fs::write(identity.join(file), content).expect("write");
        let error = Identity::load(&data).expect_err("damaged").to_string();
        assert!(error.contains(file) && error.contains("restore"), "{error}");
        std::fs::remove_file(identity.join(file)).expect("remove");
        let error = Identity::load(&data).expect_err("missing").to_string();
        assert!(error.contains("missing"), "{error}");
        std::fs::write(identity.join(file), kept).expect("write");
    }
    // A certificate of another node does not fit the key.
    let other = scratch.directory("g");
    found_alone(&other, about("you", "127.0.0.1:9002"), payload).expect("founding");
    std::fs::copy(other.join("identity/node.pem"), identity.join("node.pem")).expect("copy");
    assert!(Identity::load(&data).is_err());
}
