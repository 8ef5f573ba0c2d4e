//! Datagrams sealed with AES-256-GCM under keys that derive from the cluster's secret.
//!
//! Every process of every node seals with a key of its own, derived from the shared one and from sender and process,
//! which stand in the clear; so a counter from zero is a nonce that never repeats. The addressee is sealed in without
//! being sent: a datagram means nothing to anybody else.
//!
//! Against replays each process's last counters are remembered. A replay of a process that is long gone may still be
//! taken, once: gossip bears that, because old news never wins; only the sender's address is not learnt from it.
//!
//! Weak spot: all members share the secret, so a member could speak in another's name. Members trust each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use holdfast_core::ids::NodeId;
use holdfast_core::wire::datagram::SEAL_BYTES_MAX;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// First byte of every sealed datagram.
const SEAL_VERSION: u8 = 1;
/// Version, sender, process, counter.
const HEADER_BYTES: usize = 1 + 8 + 8 + 8;
const TAG_BYTES: usize = 16;
/// Processes of one sender that are remembered: the present one, and those whose datagrams may still be on their way.
const PROCESSES_MAX: usize = 4;
/// Counters behind the highest that are remembered.
const WINDOW: u64 = 64;

const _: () = assert!(HEADER_BYTES + TAG_BYTES <= SEAL_BYTES_MAX);

fn key_of(shared: &[u8; 32], sender: NodeId, process: u64) -> Option<LessSafeKey> {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast gossip sender v1");
    hasher.update(shared);
    hasher.update(&sender.0.to_be_bytes());
    hasher.update(&process.to_be_bytes());
    let key = UnboundKey::new(&AES_256_GCM, hasher.finalize().as_bytes()).ok()?;
    Some(LessSafeKey::new(key))
}

fn nonce_of(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// What is authenticated beside the contents: the header, and for whom it is.
fn bound_to(header: &[u8], addressee: NodeId) -> [u8; HEADER_BYTES + 8] {
    let mut bound = [0; HEADER_BYTES + 8];
    bound[..HEADER_BYTES].copy_from_slice(header);
    bound[HEADER_BYTES..].copy_from_slice(&addressee.0.to_be_bytes());
    bound
}

/// Seals what this process says.
pub(super) struct Sealer {
    me: NodeId,
    process: u64,
    key: Option<LessSafeKey>,
    counter: AtomicU64,
}

impl Sealer {
    pub(super) fn new(shared: &[u8; 32], me: NodeId, process: u64) -> Self {
        Self {
            me,
            process,
            key: key_of(shared, me, process),
            counter: AtomicU64::new(0),
        }
    }

    /// A datagram for one member.
    pub(super) fn seal(&self, to: NodeId, bytes: &[u8]) -> Option<Vec<u8>> {
        let key = self.key.as_ref()?;
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut sealed = Vec::with_capacity(HEADER_BYTES + bytes.len() + TAG_BYTES);
        sealed.push(SEAL_VERSION);
        sealed.extend_from_slice(&self.me.0.to_be_bytes());
        sealed.extend_from_slice(&self.process.to_be_bytes());
        sealed.extend_from_slice(&counter.to_be_bytes());
        let bound = bound_to(&sealed, to);
        sealed.extend_from_slice(bytes);
        let tag = key
            .seal_in_place_separate_tag(nonce_of(counter), Aad::from(bound), &mut sealed[HEADER_BYTES..])
            .ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }
}

/// A datagram that a member sealed for this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Opened {
    pub(super) from: NodeId,
    /// Later than everything opened from that member before: it is where the member is now.
    pub(super) is_newest: bool,
    pub(super) bytes: Bytes,
}

/// Opens what members say.
pub(super) struct Opener {
    shared: [u8; 32],
    me: NodeId,
    senders: BTreeMap<NodeId, Vec<Process>>,
}

/// One process of a sender.
struct Process {
    stamp: u64,
    key: LessSafeKey,
    highest: u64,
    /// Bit n: the counter n below the highest was opened.
    seen: u64,
}

impl Process {
    /// Takes note of a counter; false if it was there before, or is too old to tell.
    const fn is_new(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            let ahead = counter - self.highest;
            self.seen = if ahead >= WINDOW { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.highest = counter;
            return true;
        }
        let behind = self.highest - counter;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

impl Opener {
    pub(super) const fn new(shared: [u8; 32], me: NodeId) -> Self {
        Self {
            shared,
            me,
            senders: BTreeMap::new(),
        }
    }

    /// Opens a datagram in place; `None` for whatever no member sealed for this node, and for what was opened before.
    pub(super) fn open(&mut self, sealed: &mut [u8]) -> Option<Opened> {
        let (header, contents) = sealed.split_at_mut_checked(HEADER_BYTES)?;
        let number = |at: usize| header[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        let (from, stamp, counter) = (NodeId(number(1)?), number(9)?, number(17)?);
        if header[0] != SEAL_VERSION || from == self.me {
            return None;
        }
        let bound = Aad::from(bound_to(header, self.me));
        let known = self.senders.get_mut(&from).and_then(|processes| {
            let at = processes.iter().position(|process| process.stamp == stamp)?;
            processes.get_mut(at)
        });
        if let Some(process) = known {
            let opened = process.key.open_in_place(nonce_of(counter), bound, contents).ok()?;
            let bytes = Bytes::copy_from_slice(opened);
            let was_highest = process.highest;
            if !process.is_new(counter) {
                return None;
            }
            let latest = self
                .senders
                .get(&from)
                .and_then(|processes| processes.iter().map(|process| process.stamp).max());
            return Some(Opened {
                from,
                is_newest: counter > was_highest && latest == Some(stamp),
                bytes,
            });
        }
        let key = key_of(&self.shared, from, stamp)?;
        let opened = key.open_in_place(nonce_of(counter), bound, contents).ok()?;
        let bytes = Bytes::copy_from_slice(opened);
        // Only now is it certain that a member sent it: nobody else can make this node remember anything.
        let processes = self.senders.entry(from).or_default();
        let is_newest = processes.iter().all(|process| process.stamp < stamp);
        if processes.len() >= PROCESSES_MAX {
            let oldest = processes.iter().enumerate().min_by_key(|(_, process)| process.stamp);
            if let Some((oldest, _)) = oldest {
                processes.remove(oldest);
            }
        }
        processes.push(Process {
            stamp,
            key,
            highest: counter,
            seen: 1,
        });
        Some(Opened { from, is_newest, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const ALICE: NodeId = NodeId(1);
    const BOB: NodeId = NodeId(2);

    #[test]
    fn what_is_sealed_for_a_member_is_opened_by_it_once() {
        let alice = Sealer::new(&KEY, ALICE, 10);
        let mut bob = Opener::new(KEY, BOB);
        let sealed = alice.seal(BOB, b"up").expect("sealed");
        let opened = bob.open(&mut sealed.clone()).expect("opened");
        assert_eq!(
            (opened.from, opened.bytes.as_ref(), opened.is_newest),
            (ALICE, &b"up"[..], true)
        );
        assert_eq!(bob.open(&mut sealed.clone()), None, "a replay");
        assert_eq!(
            Opener::new(KEY, NodeId(3)).open(&mut sealed.clone()),
            None,
            "for somebody else"
        );
        assert_eq!(
            Opener::new([8; 32], BOB).open(&mut sealed.clone()),
            None,
            "of another cluster"
        );
        assert_eq!(Opener::new(KEY, ALICE).open(&mut sealed.clone()), None, "an echo");
    }

    #[test]
    fn no_bit_can_be_changed_and_nothing_cut() {
        let sealed = Sealer::new(&KEY, ALICE, 10).seal(BOB, b"up").expect("sealed");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut bob = Opener::new(KEY, BOB);
            assert_eq!(bob.open(&mut flipped), None, "bit {bit}");
            assert!(bob.senders.is_empty(), "strangers make nobody remember anything");
        }
        for length in 0..sealed.len() {
            assert_eq!(Opener::new(KEY, BOB).open(&mut sealed[..length].to_vec()), None);
        }
    }

    #[test]
    fn datagrams_may_overtake_each_other_but_none_is_taken_twice() {
        let alice = Sealer::new(&KEY, ALICE, 10);
        let sealed: Vec<_> = (0..100).map(|_| alice.seal(BOB, b"x").expect("sealed")).collect();
        let mut bob = Opener::new(KEY, BOB);
        assert!(bob.open(&mut sealed[90].clone()).is_some_and(|opened| opened.is_newest));
        assert!(
            bob.open(&mut sealed[40].clone())
                .is_some_and(|opened| !opened.is_newest)
        );
        assert_eq!(bob.open(&mut sealed[40].clone()), None);
        assert_eq!(bob.open(&mut sealed[20].clone()), None, "too old to tell");
        assert!(bob.open(&mut sealed[99].clone()).is_some_and(|opened| opened.is_newest));
        assert_eq!(bob.open(&mut sealed[90].clone()), None);
    }

    #[test]
    fn a_process_that_is_gone_does_not_say_where_the_member_is() {
        let mut bob = Opener::new(KEY, BOB);
        let old = Sealer::new(&KEY, ALICE, 10);
        let withheld = old.seal(BOB, b"old").expect("sealed");
        for stamp in 11..30 {
            let sealed = Sealer::new(&KEY, ALICE, stamp).seal(BOB, b"new").expect("sealed");
            assert!(bob.open(&mut sealed.clone()).is_some_and(|opened| opened.is_newest));
        }
        assert!(bob.open(&mut withheld.clone()).is_some_and(|opened| !opened.is_newest));
        assert!(bob.senders[&ALICE].len() <= PROCESSES_MAX);
    }
}
