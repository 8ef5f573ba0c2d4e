//! Nodes that start at the same moment with the same words: several seeds, files that appear later, a secret that all were
//! given, a founder that is started again in the middle.

use crate::cluster::{Scratch, about, listener};
use holdfast_node::founding::{
    Admission, FoundConfig, Founder, Founding, FoundingError, JoinConfig, RegisteredWith, Registration, Seeds,
    SharedSecret, join, late_answers,
};
use holdfast_node::peer::Strangers;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const SECRET: &str = "3b6f3c4bb1b0d5ce4d0a5f6a9b0e1c22";
const OTHER: &str = "ffffffffffffffffffffffffffffffff";

#[expect(clippy::unnecessary_wraps, reason = "others refuse")]
fn payload(members: &[Registration]) -> Result<Vec<u8>, String> {
    Ok(members.iter().flat_map(|member| member.about.name.bytes()).collect())
}

type Running = JoinHandle<Result<(Founding, Arc<dyn Strangers>), FoundingError>>;

fn open(data: &Path, nodes: usize, address: SocketAddr, secret: Option<&str>) -> Founder {
    Founder::open(FoundConfig {
        data: data.to_owned(),
        nodes,
        about: about("founder", address),
        secret: secret.map(|secret| SharedSecret::parse(secret.as_bytes()).expect("a secret")),
    })
    .expect("founder")
}

fn found(data: &Path, nodes: usize, door: &Arc<TcpListener>, address: SocketAddr) -> Running {
    tokio::spawn(open(data, nodes, address, Some(SECRET)).run(door.clone(), payload))
}

type Joined = JoinHandle<Result<Founding, FoundingError>>;

fn joins(data: &Path, name: &str, seeds: &str, admission: Admission) -> Joined {
    let port = name.bytes().map(u32::from).sum::<u32>();
    tokio::spawn(join(JoinConfig {
        data: data.to_owned(),
        seeds: Seeds::parse(seeds, 9002).expect("seeds"),
        admission,
        about: about(name, format!("127.0.0.1:{port}")),
    }))
}

async fn soon<T>(result: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), result).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_wait_for_seeds_and_secret_and_need_no_order() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    // Whoever listens there is no node; the other seed is not even there.
    let (_silent, nobody) = listener().await;
    let seeds_file = scratch.directory("files").join("seeds");
    let secret_file = scratch.directory("files").join("secret");
    let seeds = format!("127.0.0.1:1,{nobody},@{}", seeds_file.display());
    let a = joins(
        &scratch.directory("a"),
        "a",
        &seeds,
        Admission::SecretFile(secret_file.clone()),
    );
    let b = joins(
        &scratch.directory("b"),
        "b",
        &seeds,
        Admission::SecretFile(secret_file.clone()),
    );
    sleep(Duration::from_millis(300)).await;
    std::fs::write(&secret_file, format!("{SECRET}\n")).expect("writes");
    sleep(Duration::from_millis(300)).await;
    let founding = found(&scratch.directory("f"), 3, &door, address);
    sleep(Duration::from_millis(300)).await;
    assert!(!founding.is_finished(), "nobody can know where the founder is");
    std::fs::write(&seeds_file, format!("# the founder\n{address}\n")).expect("writes");
    let (founded, _answers) = soon(founding).await.expect("task").expect("founding");
    for (node, data) in [(a, "a"), (b, "b")] {
        let joined = soon(node).await.expect("task").expect("join");
        assert_eq!(joined.members, founded.members);
        let with = RegisteredWith::load(&scratch.directory(data))
            .expect("load")
            .expect("there");
        assert_eq!(
            (with.founder, with.address),
            (founded.identity.node, address.to_string())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_registers_nobody_until_it_is_set_right() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let founding = found(&scratch.directory("f"), 2, &door, address);
    let secret_file = scratch.directory("files").join("secret");
    std::fs::write(&secret_file, OTHER).expect("writes");
    let data = scratch.directory("a");
    let joining = joins(
        &data,
        "a",
        &address.to_string(),
        Admission::SecretFile(secret_file.clone()),
    );
    sleep(Duration::from_millis(1_000)).await;
    assert!(
        !founding.is_finished() && !joining.is_finished(),
        "it is neither registered nor ended"
    );
    let record = std::fs::read(scratch.directory("f").join("identity.founding")).expect("read");
    assert!(
        !record.windows(12).any(|text| text == b"127.0.0.1:97"),
        "it is not on record"
    );
    std::fs::write(&secret_file, SECRET).expect("writes");
    soon(founding).await.expect("task").expect("founding");
    soon(joining).await.expect("task").expect("join");
}

/// Carries one connection to the founder until the task is aborted.
async fn line_to(founder: SocketAddr) -> (JoinHandle<()>, SocketAddr) {
    let (door, address) = listener().await;
    let carry = async move {
        let (mut near, _) = door.accept().await.expect("accept");
        drop(door);
        let mut far = TcpStream::connect(founder).await.expect("connect");
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    };
    (tokio::spawn(carry), address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_founder_may_be_started_again_in_the_middle_and_after_it() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let secret_file = scratch.directory("files").join("secret");
    std::fs::write(&secret_file, SECRET).expect("writes");
    let (founder_data, joiner_data) = (scratch.directory("f"), scratch.directory("a"));
    let by_secret = || Admission::SecretFile(secret_file.clone());
    let running = found(&founder_data, 3, &door, address);
    let (line, through) = line_to(address).await;
    let a = joins(&joiner_data, "a", &format!("{through},{address}"), by_secret());
    let recorded = |bytes: Vec<u8>| bytes.windows(12).any(|text| text == b"127.0.0.1:97");
    while !std::fs::read(founder_data.join("identity.founding")).is_ok_and(recorded) {
        sleep(Duration::from_millis(10)).await;
    }
    // Connections end with the process; here they end with the line.
    running.abort();
    line.abort();
    let _ = running.await;
    let running = found(&founder_data, 3, &door, address);
    let b = joins(&scratch.directory("b"), "b", &address.to_string(), by_secret());
    // The founder may found before `a` has come back: it was on record. Then it is answered late.
    let (founded, answers) = soon(running).await.expect("task").expect("founding");
    drop(answers);
    let secret = SharedSecret::parse(SECRET.as_bytes()).expect("a secret");
    let answers = late_answers(&founder_data, Some(&secret))
        .expect("load")
        .expect("answers");
    let _peers = crate::founding::serve(&founded, answers, door);
    for joined in [a, b] {
        assert_eq!(
            soon(joined).await.expect("task").expect("join").members,
            founded.members
        );
    }
}

/// After the founding the secret opens nothing: what a member is told goes to who holds its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_alone_is_of_no_use_once_the_cluster_stands() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let secret_file = scratch.directory("files").join("secret");
    std::fs::write(&secret_file, SECRET).expect("writes");
    let by_secret = || Admission::SecretFile(secret_file.clone());
    let running = found(&scratch.directory("f"), 2, &door, address);
    let a = joins(&scratch.directory("a"), "a", &address.to_string(), by_secret());
    let (founded, answers) = soon(running).await.expect("task").expect("founding");
    soon(a).await.expect("task").expect("join");
    let _peers = crate::founding::serve(&founded, answers, door);
    let stranger = soon(joins(&scratch.directory("x"), "x", &address.to_string(), by_secret())).await;
    let Err(FoundingError::Refused(reason)) = stranger.expect("task") else {
        panic!("it was let in");
    };
    assert!(reason.contains("does not know this node"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_waited_for_and_an_old_one_is_replaced() {
    let scratch = Scratch::new();
    let (door, address) = listener().await;
    let token_file = scratch.directory("files").join("token");
    let earlier = open(&scratch.directory("earlier"), 2, address, None);
    std::fs::write(&token_file, earlier.token().to_string()).expect("writes");
    let founder = open(&scratch.directory("f"), 2, address, None);
    let token = founder.token().to_string();
    let running = tokio::spawn(founder.run(door.clone(), payload));
    let by_file = Admission::TokenFile(token_file.clone());
    let joining = joins(&scratch.directory("a"), "a", &address.to_string(), by_file);
    sleep(Duration::from_millis(600)).await;
    assert!(
        !joining.is_finished(),
        "a file of an earlier founding is no reason to give up"
    );
    std::fs::write(&token_file, token).expect("writes");
    soon(running).await.expect("task").expect("founding");
    soon(joining).await.expect("task").expect("join");
}
