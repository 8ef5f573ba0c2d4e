//! Grants: what a node lets somebody do at any other node for some minutes, without that node having to ask.
//!
//! A grant names one operation on one part of one object: reading a part of the version that was there, or sending one part
//! of one upload. It carries a code that only members can compute ([`crate::objects::Objects::grant_code`]), so whoever holds
//! one can do exactly that with it, until it expires. It says nothing that its holder may not know. Written by hand, as the
//! nodes of two versions may read it (docs/format.md, "Grants").
//!
//! Weak: there is no taking back. Who was granted something can do it until the minutes are over, also when the access key
//! is disabled meanwhile.

use bytes::{Buf, BufMut};
use holdfast_core::content::ManifestPart;
use holdfast_core::ids::{ActorId, BucketId, Dot, KEY_BYTES_MAX, NodeId, PartId, Tick, UploadId};

use crate::intake::hex;
use crate::objects::Objects;

/// First byte of every grant.
const VERSION: u8 = 1;
const READ: u8 = 1;
const WRITE: u8 = 2;
/// Length of the code at its end.
const CODE_BYTES: usize = 16;
/// Names of buckets and access keys are far shorter.
const NAME_BYTES_MAX: usize = 255;
/// Longer ones are not looked at.
const BYTES_MAX: usize = 128 + KEY_BYTES_MAX + 2 * NAME_BYTES_MAX;

/// What its holder may do, where, and until when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Grant {
    /// Who asked for it, for the log.
    pub(crate) principal: String,
    /// Unix milliseconds after which it is void.
    pub(crate) expires_ms: u64,
    /// The bucket by the name it had.
    pub(crate) bucket: String,
    /// The bucket itself: a name can be deleted and created again.
    pub(crate) bucket_id: BucketId,
    /// The object.
    pub(crate) key: String,
    /// The operation.
    pub(crate) may: May,
}

/// One operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum May {
    /// Read one part of one version.
    Read {
        /// Which version it was found in.
        dot: Dot,
        /// The part; without checksums.
        part: ManifestPart,
    },
    /// Send one part of an upload.
    Write {
        /// Which upload.
        upload: UploadId,
        /// Which part of it.
        number: u16,
        /// The node that was chosen to hold it.
        receiver: NodeId,
        /// At most so many bytes.
        bytes_max: u64,
    },
}

/// Why a grant does not stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Void {
    /// It was not made by this cluster, or not like this.
    Forged,
    /// Its time is over.
    Expired,
}

impl Grant {
    /// The grant as its holder sends it; `None` where none are given.
    pub(crate) fn seal(&self, objects: &dyn Objects) -> Option<String> {
        let mut bytes = self.encode();
        let code = objects.grant_code(&bytes)?;
        bytes.extend_from_slice(&code);
        Some(hex(&bytes))
    }

    /// The grant in such a text, if this cluster made it and its time is not over.
    pub(crate) fn open(objects: &dyn Objects, text: &str, now_ms: u64) -> Result<Self, Void> {
        if text.len() > 2 * BYTES_MAX {
            return Err(Void::Forged);
        }
        let bytes = hex_simd::decode_to_vec(text).map_err(|_| Void::Forged)?;
        let split = bytes.len().checked_sub(CODE_BYTES).ok_or(Void::Forged)?;
        let (grant, code) = bytes.split_at(split);
        let expected = objects.grant_code(grant).ok_or(Void::Forged)?;
        // Compared as BLAKE3 hashes, whose equality takes the same time wherever they differ.
        if blake3::hash(code) != blake3::hash(&expected) {
            return Err(Void::Forged);
        }
        let grant = Self::decode(grant).ok_or(Void::Forged)?;
        if grant.expires_ms < now_ms {
            return Err(Void::Expired);
        }
        Ok(grant)
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(128 + self.key.len());
        to.put_u8(VERSION);
        to.put_u64(self.expires_ms);
        to.put_u64(self.bucket_id.0);
        for name in [&self.bucket, &self.principal] {
            let name = name.as_bytes().get(..NAME_BYTES_MAX).unwrap_or(name.as_bytes());
            to.put_u8(name.len() as u8);
            to.put_slice(name);
        }
        to.put_u16(self.key.len() as u16);
        to.put_slice(self.key.as_bytes());
        match &self.may {
            May::Read { dot, part } => {
                to.put_u8(READ);
                to.put_u64(dot.actor.0);
                to.put_u64(dot.life.0);
                to.put_u64(dot.tick.0);
                to.put_u128(part.id.0);
                to.put_u16(part.number);
                to.put_u64(part.size);
                to.put_u32(part.chunk_bytes);
            }
            May::Write {
                upload,
                number,
                receiver,
                bytes_max,
            } => {
                to.put_u8(WRITE);
                to.put_u128(upload.0);
                to.put_u16(*number);
                to.put_u64(receiver.0);
                to.put_u64(*bytes_max);
            }
        }
        to
    }

    fn decode(mut from: &[u8]) -> Option<Self> {
        if from.try_get_u8().ok()? != VERSION {
            return None;
        }
        let expires_ms = from.try_get_u64().ok()?;
        let bucket_id = BucketId(from.try_get_u64().ok()?);
        let text = |from: &mut &[u8], length: usize| {
            let (text, rest) = from.split_at_checked(length)?;
            *from = rest;
            String::from_utf8(text.to_vec()).ok()
        };
        let length = from.try_get_u8().ok()?;
        let bucket = text(&mut from, usize::from(length))?;
        let length = from.try_get_u8().ok()?;
        let principal = text(&mut from, usize::from(length))?;
        let length = from.try_get_u16().ok()?;
        let key = text(&mut from, usize::from(length))?;
        let may = match from.try_get_u8().ok()? {
            READ => May::Read {
                dot: Dot {
                    actor: ActorId(from.try_get_u64().ok()?),
                    life: Tick(from.try_get_u64().ok()?),
                    tick: Tick(from.try_get_u64().ok()?),
                },
                part: ManifestPart {
                    id: PartId(from.try_get_u128().ok()?),
                    number: from.try_get_u16().ok()?,
                    size: from.try_get_u64().ok()?,
                    chunk_bytes: from.try_get_u32().ok()?,
                    checksums: Vec::new(),
                },
            },
            WRITE => May::Write {
                upload: UploadId(from.try_get_u128().ok()?),
                number: from.try_get_u16().ok()?,
                receiver: NodeId(from.try_get_u64().ok()?),
                bytes_max: from.try_get_u64().ok()?,
            },
            _ => return None,
        };
        from.is_empty().then_some(Self {
            principal,
            expires_ms,
            bucket,
            bucket_id,
            key,
            may,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryObjects;

    fn grants() -> [Grant; 2] {
        let grant = |may| Grant {
            principal: "K".to_owned(),
            expires_ms: 1_000,
            bucket: "b".to_owned(),
            bucket_id: BucketId(2),
            key: "k/ü".to_owned(),
            may,
        };
        let dot = Dot {
            actor: ActorId(3),
            life: Tick(4),
            tick: Tick(5),
        };
        let part = ManifestPart {
            id: PartId(6),
            number: 7,
            size: 8,
            chunk_bytes: 9,
            checksums: Vec::new(),
        };
        [
            grant(May::Read { dot, part }),
            grant(May::Write {
                upload: UploadId(6),
                number: 7,
                receiver: NodeId(8),
                bytes_max: 9,
            }),
        ]
    }

    #[test]
    fn a_grant_leads_back_until_its_time_is_over() {
        let objects = MemoryObjects::default();
        for grant in grants() {
            let text = grant.seal(&objects).unwrap();
            assert_eq!(Grant::open(&objects, &text, 1_000), Ok(grant));
            assert_eq!(Grant::open(&objects, &text, 1_001), Err(Void::Expired));
        }
    }

    #[test]
    fn whatever_is_changed_in_a_grant_makes_it_void() {
        let objects = MemoryObjects::default();
        for grant in grants() {
            let text = grant.seal(&objects).unwrap();
            for at in 0..text.len() {
                let mut other = text.clone().into_bytes();
                other[at] = if other[at] == b'0' { b'1' } else { b'0' };
                let other = String::from_utf8(other).unwrap();
                assert_eq!(Grant::open(&objects, &other, 0), Err(Void::Forged), "{at}");
            }
            assert_eq!(Grant::open(&objects, &text[2..], 0), Err(Void::Forged));
        }
        for text in ["", "00", "zz", &"0".repeat(1 << 20)] {
            assert_eq!(Grant::open(&objects, text, 0), Err(Void::Forged));
        }
    }

    /// Nodes of two versions read each other's grants: these bytes stay.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let [read, write] = grants().map(|grant| hex(&grant.encode()));
        let (names, key) = ("0162014b", "00046b2fc3bc");
        let head = format!("01{:016x}{:016x}{names}{key}", 1_000, 2);
        assert_eq!(
            read,
            format!(
                "{head}01{:016x}{:016x}{:016x}{:032x}{:04x}{:016x}{:08x}",
                3, 4, 5, 6, 7, 8, 9
            )
        );
        assert_eq!(write, format!("{head}02{:032x}{:04x}{:016x}{:016x}", 6, 7, 8, 9));
    }

    #[test]
    fn what_is_cut_short_is_no_grant() {
        for grant in grants() {
            let bytes = grant.encode();
            for length in 0..bytes.len() {
                assert_eq!(Grant::decode(&bytes[..length]), None, "{length}");
            }
        }
    }
}
