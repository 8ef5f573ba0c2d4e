//! Buckets and access keys through running shells.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::bucket::{AccessKey, KeyState, key_id};
use holdfast_core::content::StoredBody;
use holdfast_core::ids::{ObjectKey, RequestId, SYSTEM_BUCKET};
use holdfast_core::registry::{Entry, access_key_row_key, bucket_row_key, system_settings};
use holdfast_core::request::{Get, Put, PutValue, ReadFault, WantedBodies};
use holdfast_core::wire::side::{decode_entry_row, encode_entry_with};
use holdfast_node::desk::CreateBucket;
use holdfast_node::founding::{Registration, found_together};
use holdfast_node::identity::Identity;
use holdfast_node::shell::{Cluster, RootKey, Shell, ShellConfig};
use tokio::net::TcpListener;

use crate::cluster::{Scratch, about, listener};

/// The first of so many members; the others never start.
async fn first_of(scratch: &Scratch, count: usize) -> Shell {
    let (data, identity, listener) = founded(scratch, count).await;
    start(data, identity, listener).await
}

/// The first of so many members, before its start.
async fn founded(scratch: &Scratch, count: usize) -> (PathBuf, Identity, Arc<TcpListener>) {
    let mut listeners: Vec<Arc<TcpListener>> = Vec::new();
    let mut nodes = Vec::new();
    for index in 0..count {
        let (listener, address) = listener().await;
        listeners.push(listener);
        let name = format!("n{index}");
        nodes.push((scratch.directory(&name), about(&name, address)));
    }
    let data = nodes[0].0.clone();
    let compose = |nodes: &[Registration]| {
        let (id, secret) = ("ROOT".to_owned(), "secret".to_owned());
        Ok(Cluster::found(nodes, 4, RootKey { id, secret })?.encode())
    };
    let mut founded = found_together(nodes, compose).expect("founding");
    (data, founded.remove(0).identity, listeners.remove(0))
}

async fn start(data: PathBuf, identity: Identity, listener: Arc<TcpListener>) -> Shell {
    Shell::start(config(data, identity), listener).await.expect("starts")
}

fn config(data: PathBuf, identity: Identity) -> ShellConfig {
    ShellConfig {
        forgetting: Default::default(),
        upkeep: Default::default(),
        data,
        identity,
        store: holdfast_store::Options::default(),
        strangers: None,
        body_bytes_max: holdfast_node::shell::BODY_BYTES_MAX,
        disk_lost: None,
        on_end: Box::new(|why| panic!("{why:?}")),
        on_rest: Box::new(|| {}),
    }
}

/// Alone, one of three members cannot tell whether a key exists; but it can tell which ids no cluster makes, and does so
/// without asking anybody.
#[tokio::test]
async fn ids_that_nobody_made_are_refused_unread() {
    let scratch = Scratch::new();
    let shell = first_of(&scratch, 3).await;
    assert_eq!(shell.access_key("AKIAIOSFODNN7EXAMPLE").await, Ok(None));
    assert_eq!(shell.access_key(&"x".repeat(10_000)).await, Ok(None));
    let root = shell.access_key("ROOT").await.expect("known").expect("there");
    assert_eq!(root.secret, "secret");
    let unknown = tokio::time::timeout(Duration::from_secs(30), shell.access_key(&key_id(7))).await;
    let unknown = unknown.expect("answered");
    assert!(matches!(unknown, Err(ReadFault::Unavailable { .. })), "{unknown:?}");
    shell.stop().await.expect("stops");
}

/// Rows are read many at a time; the list is in order all the same, whole, and has nothing that was deleted.
#[tokio::test]
async fn buckets_and_keys_are_listed_in_order() {
    let scratch = Scratch::new();
    let shell = first_of(&scratch, 1).await;
    let names: Vec<String> = (0..70).map(|number| format!("bucket-{number:02}")).collect();
    for name in names.iter().rev() {
        shell.create_bucket(name, CreateBucket::default()).await.expect("made");
    }
    let gone = shell.bucket(&names[40]).await.expect("known").expect("there");
    shell.delete_bucket(&gone).await.expect("deleted");
    let listed = shell.buckets().await.expect("listed");
    let left = names.iter().filter(|name| **name != names[40]);
    assert!(listed.iter().map(|bucket| &bucket.name).eq(left), "{listed:?}");

    for number in 0..40 {
        shell.put_access_key(key(number)).await.expect("written");
    }
    let mut ids: Vec<String> = (0..40).map(key_id).collect();
    ids.sort();
    let listed = shell.access_keys().await.expect("listed");
    assert_eq!(listed[0].id, "ROOT");
    assert!(listed[1..].iter().map(|key| &key.id).eq(&ids), "{listed:?}");
    shell.stop().await.expect("stops");
}

fn key(number: u128) -> AccessKey {
    AccessKey {
        id: key_id(number),
        secret: "s".repeat(40),
        name: format!("key {number}"),
        created_ms: 1,
        state: KeyState::Enabled,
    }
}

/// Writes a row of the registry as another program would.
async fn write_row(shell: &Shell, row_key: String, row: Vec<u8>) {
    let put = Put {
        settings: system_settings(1),
        key: ObjectKey {
            bucket: SYSTEM_BUCKET,
            key: row_key,
        },
        context: None,
        value: PutValue::Object {
            etag: String::new(),
            headers: Vec::new(),
            body: StoredBody::Inline(Bytes::from(row)),
        },
        w: None,
        wait_all: false,
    };
    shell.put(RequestId(1), put).await.expect("written");
}

async fn read_row(shell: &Shell, row_key: String) -> Bytes {
    let get = Get {
        settings: system_settings(1),
        key: ObjectKey {
            bucket: SYSTEM_BUCKET,
            key: row_key,
        },
        r: None,
        bodies: WantedBodies::Newest,
    };
    shell.get(get).await.expect("read").bodies[0].1.clone()
}

/// A newer program keeps in an entry what this one does not know. It was lost when this one disabled a key.
#[tokio::test]
async fn what_a_newer_version_added_to_an_entry_survives_an_update() {
    let scratch = Scratch::new();
    let shell = first_of(&scratch, 1).await;
    let row = encode_entry_with(&Entry::Key(key(1)), b"from the future");
    write_row(&shell, access_key_row_key(&key_id(1)), row).await;
    let mut changed = shell.access_key(&key_id(1)).await.expect("read").expect("there");
    changed.state = KeyState::Disabled;
    shell.put_access_key(changed.clone()).await.expect("written");
    let row = decode_entry_row(read_row(&shell, access_key_row_key(&key_id(1))).await).expect("readable");
    assert_eq!(row.entry, Entry::Key(changed));
    assert_eq!(&row.extensions[..], b"from the future");
    shell.stop().await.expect("stops");
}

/// An entry of a newer format is neither guessed at nor passed over in silence, in this run and after a start.
#[tokio::test]
async fn entries_that_cannot_be_read_are_counted() {
    let scratch = Scratch::new();
    let (data, identity, listener) = founded(&scratch, 1).await;
    let shell = start(data.clone(), identity.clone(), listener.clone()).await;
    assert_eq!(shell.entries_unreadable(), 0);
    write_row(&shell, bucket_row_key("odd"), vec![99, 1, 2, 3]).await;
    assert_eq!(shell.entries_unreadable(), 1);
    assert_eq!(shell.bucket("odd").await, Err(ReadFault::Damaged));
    shell.stop().await.expect("stops");
    drop(shell);
    // The last task that holds the store ends a moment later.
    let shell = loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let config = config(data.clone(), identity.clone());
        match Shell::start(config, listener.clone()).await {
            Ok(shell) => break shell,
            Err(error) => assert!(error.to_string().contains("in use"), "{error}"),
        }
    };
    assert_eq!(shell.entries_unreadable(), 1);
    shell.stop().await.expect("stops");
}

/// A key that a newer version changed may have been turned off: it must not go on working from memory.
#[tokio::test]
async fn a_key_that_can_no_longer_be_read_is_not_used_from_memory() {
    let scratch = Scratch::new();
    let shell = first_of(&scratch, 1).await;
    shell.put_access_key(key(1)).await.expect("written");
    assert_eq!(shell.access_key(&key_id(1)).await, Ok(Some(key(1))));
    write_row(&shell, access_key_row_key(&key_id(1)), vec![99, 1, 2, 3]).await;
    assert_eq!(shell.access_key(&key_id(1)).await, Err(ReadFault::Damaged));
    shell.stop().await.expect("stops");
}
