//! Whispers: what the front ends of members say to each other, in datagrams beside gossip, and what nothing depends on.
//!
//! A whisper is sealed as gossip is, so only members are heard. It may be lost, doubled or late; it is never queued, never
//! answered for, and never reaches the core. So it suits figures for people who watch, and nothing else. A version that
//! knows no whispers counts them as junk.

use bytes::{BufMut, Bytes, BytesMut};
use holdfast_core::ids::NodeId;
use holdfast_core::wire::datagram::{DATAGRAM_BYTES_MAX, DATAGRAM_VERSION};
use tokio::sync::broadcast;

use super::{Inner, Shell};

/// The first byte of a whisper, where gossip has its version.
const WHISPER: u8 = 0x77;
const _: () = assert!(WHISPER != DATAGRAM_VERSION);

/// Longest whisper; longer ones are not sent.
pub const WHISPER_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - 1;

/// Whispers kept for a listener that is slow.
pub(super) const WHISPERS_KEPT_MAX: usize = 256;

/// What was whispered, if this datagram is not gossip.
pub(super) fn whispered(datagram: &Bytes) -> Option<Bytes> {
    (datagram.first() == Some(&WHISPER)).then(|| datagram.slice(1..))
}

impl Inner {
    /// Hands a whisper to whoever listens.
    pub(super) fn hear(&self, from: NodeId, words: Bytes) {
        // Nobody listens on a node without front ends.
        let _ = self.whispers.send((from, words));
    }
}

impl Shell {
    /// Says something to a member; it may or may not arrive. False when it is too long.
    pub fn whisper(&self, to: NodeId, words: &[u8]) -> bool {
        if words.len() > WHISPER_BYTES_MAX {
            return false;
        }
        if let Some(datagrams) = self.inner.datagrams.get() {
            let mut datagram = BytesMut::with_capacity(words.len() + 1);
            datagram.put_u8(WHISPER);
            datagram.put_slice(words);
            datagrams.send(to, datagram.freeze());
        }
        true
    }

    /// What members whisper from now on, and who.
    #[must_use]
    pub fn whispers(&self) -> broadcast::Receiver<(NodeId, Bytes)> {
        self.inner.whispers.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use holdfast_core::wire::datagram::DATAGRAM_VERSION;

    use super::{WHISPER, whispered};

    #[test]
    fn gossip_is_no_whisper() {
        assert_eq!(whispered(&Bytes::from_static(&[DATAGRAM_VERSION, 2, 3])), None);
        assert_eq!(whispered(&Bytes::new()), None);
        let datagram = Bytes::from(vec![WHISPER, b'h', b'i']);
        assert_eq!(whispered(&datagram), Some(Bytes::from_static(b"hi")));
    }
}
