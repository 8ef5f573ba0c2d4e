//! Tests with somebody between a joining node and its founder, who carries on what both say and shows a certificate of his own.

use super::found::{FoundConfig, Founder};
use super::message::{Message, REGISTER_BYTES_MAX, receive, send};
use super::pin::Trusted;
use super::proof::SharedSecret;
use super::register::{Attempt, Joining, register};
use super::registration::About;
use super::seeds::SeedAddress;
use super::{FoundingError, admission::Pass};
use crate::identity::authority::{Authority, generate_key, public_key};
use crate::peer::frame::Kind;
use crate::peer::{ALPN_JOIN, Credentials, Reader, Writer, accept_tls, any_member, dial_tls, stranger};
use holdfast_core::ids::{ClusterId, NodeId};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const SECRET: &[u8] = b"3b6f3c4bb1b0d5ce4d0a5f6a9b0e1c22";

fn about(name: &str) -> About {
    About {
        name: name.into(),
        node_address: format!("{name}:9002"),
        ..About::default()
    }
}

fn joining() -> Joining {
    let key = generate_key().expect("key");
    Joining {
        about: about("joiner"),
        pass: Pass::Secret(SharedSecret::parse(SECRET).expect("a secret")),
        public_key: public_key(&key).expect("public key"),
        key,
    }
}

/// A founder that waits for one node more, its directory, where it listens, and its authority's certificate.
struct Waiting {
    data: PathBuf,
    address: SocketAddr,
    task: JoinHandle<()>,
    authority: Vec<u8>,
}

impl Waiting {
    async fn start(name: &str) -> Self {
        let data = std::env::temp_dir().join(format!("holdfast-in-between-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&data).expect("directory");
        let founder = Founder::open(FoundConfig {
            data: data.clone(),
            nodes: 2,
            about: about("founder"),
            secret: Some(SharedSecret::parse(SECRET).expect("a secret")),
        })
        .expect("founder");
        let authority = founder.authority();
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("bind"));
        let address = listener.local_addr().expect("address");
        let task = tokio::spawn(async move {
            let _ = founder.run(listener, |_| Ok(Vec::new())).await;
        });
        Self {
            data,
            address,
            task,
            authority,
        }
    }

    fn has_founded(&self) -> bool {
        self.data.join("identity").exists()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Credentials of an authority of somebody else's.
fn foreign() -> Credentials {
    let cluster = ClusterId(7);
    let authority = Authority::generate(cluster).expect("authority");
    let key = generate_key().expect("key");
    Credentials {
        cluster,
        node: NodeId(1),
        authority: authority.certificate().to_vec(),
        certificate: authority
            .admit(NodeId(1), &public_key(&key).expect("public key"))
            .expect("certificate"),
        key,
    }
}

async fn take(listener: TcpListener, shown: Credentials) -> Option<(Reader, Writer)> {
    let (stream, _) = listener.accept().await.expect("accept");
    let secured = accept_tls(stream, shown.server().expect("server")).await.ok()?;
    let mut writer = secured.writer;
    writer.put(Kind::Welcome, &[], &[]).await.expect("put");
    writer.flush().await.expect("flush");
    Some((secured.reader, writer))
}

async fn dial(founder: SocketAddr) -> (Reader, Writer) {
    let stream = TcpStream::connect(founder).await.expect("connect");
    let name = any_member(ClusterId(0)).expect("name");
    let secured = dial_tls(
        stream,
        stranger(Arc::new(Trusted::Any), ALPN_JOIN).expect("config"),
        name,
    )
    .await;
    let mut secured = secured.expect("handshake");
    secured.reader.expect(Kind::Welcome).await.expect("welcome");
    (secured.reader, secured.writer)
}

async fn listening() -> (TcpListener, SeedAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let seed = address.to_string();
    (listener, SeedAddress { seed, address })
}

fn denial(result: Result<super::register::Registered, Attempt>) -> FoundingError {
    match result {
        Err(Attempt::Denied(error)) => error,
        Err(Attempt::Again(why)) => panic!("tries again: {why}"),
        Err(Attempt::Fatal(error)) => panic!("believes it: {error}"),
        Ok(_) => panic!("registered"),
    }
}

#[tokio::test]
async fn whoever_carries_the_proofs_on_gets_none_from_the_founder() {
    let founder = Waiting::start("carries").await;
    let (listener, seed) = listening().await;
    let real = founder.address;
    let between = tokio::spawn(async move {
        let (mut from_joiner, mut to_joiner) = take(listener, foreign()).await.expect("taken for a founder");
        let (mut from_founder, mut to_founder) = dial(real).await;
        let challenge = receive(&mut from_founder, REGISTER_BYTES_MAX).await.expect("challenge");
        send(&mut to_joiner, &challenge).await.expect("carried on");
        let proof = receive(&mut from_joiner, REGISTER_BYTES_MAX).await.expect("proof");
        send(&mut to_founder, &proof).await.expect("carried on");
        let answer = receive(&mut from_founder, REGISTER_BYTES_MAX).await.expect("answer");
        send(&mut to_joiner, &answer).await.expect("carried on");
        answer
    });
    let error = denial(register(&joining(), seed).await);
    let answer = between.await.expect("task");
    assert!(
        matches!(&answer, Message::Refused { reason } if reason.contains("somebody in between")),
        "{answer:?}"
    );
    assert!(matches!(error, FoundingError::Refused(_)), "{error:?}");
    assert!(!founder.has_founded());
}

#[tokio::test]
async fn a_proof_that_is_made_up_is_not_believed() {
    let (listener, seed) = listening().await;
    let between = tokio::spawn(async move {
        let (mut reader, mut writer) = take(listener, foreign()).await.expect("taken for a founder");
        let challenge = Message::Challenge {
            cluster: ClusterId(7),
            nonce: [1; 32],
        };
        send(&mut writer, &challenge).await.expect("sent");
        let Ok(Message::Prove { proof, .. }) = receive(&mut reader, REGISTER_BYTES_MAX).await else {
            panic!("no proof");
        };
        // The best guess there is: the joining node's own proof, sent back.
        send(&mut writer, &Message::Proof { proof }).await.expect("sent");
        assert!(
            receive(&mut reader, REGISTER_BYTES_MAX).await.is_err(),
            "the node told him more than its proof"
        );
    });
    let error = denial(register(&joining(), seed).await).to_string();
    assert!(error.contains("does not know the cluster secret"), "{error}");
    between.await.expect("task");
}

#[tokio::test]
async fn the_real_authority_beside_another_certificate_is_refused_in_the_handshake() {
    let founder = Waiting::start("beside").await;
    let (listener, seed) = listening().await;
    let shown = Credentials {
        authority: founder.authority.clone(),
        ..foreign()
    };
    let between = tokio::spawn(take(listener, shown));
    let error = denial(register(&joining(), seed).await).to_string();
    assert!(error.contains("not of the cluster"), "{error}");
    assert!(between.await.expect("task").is_none());
}

#[tokio::test]
async fn a_founder_tells_who_only_dials_nothing_to_guess_against() {
    let founder = Waiting::start("dials").await;
    let (mut reader, mut writer) = dial(founder.address).await;
    let challenge = receive(&mut reader, REGISTER_BYTES_MAX).await.expect("challenge");
    assert!(matches!(challenge, Message::Challenge { .. }));
    let guess = Message::Prove {
        means: super::proof::Means::Secret,
        nonce: [0; 32],
        proof: [0; 32],
    };
    send(&mut writer, &guess).await.expect("sent");
    let answer = receive(&mut reader, REGISTER_BYTES_MAX).await.expect("answer");
    assert!(matches!(answer, Message::Refused { .. }), "{answer:?}");
    // And whoever knows the secret is taken, with whom the founding is complete.
    let seed = SeedAddress {
        seed: founder.address.to_string(),
        address: founder.address,
    };
    let registered = register(&joining(), seed).await;
    assert!(registered.is_ok_and(|registered| registered.founder_name == "founder"));
}
