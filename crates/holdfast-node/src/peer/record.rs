//! TLS 1.3 record protection (RFC 8446 §5.2), on the keys that rustls agreed on.
//!
//! rustls makes the handshake and everything that needs judgement; what is left is AES-GCM over records of 16 KiB with
//! a counted nonce. Through rustls' buffered interface a payload is read in steps of 4 KiB and copied three times more
//! than here; and the cipher can be taken from the library that is fastest at it (see the workspace manifest). Together
//! that halves what a GiB between two nodes costs. It is the use that `rustls::kernel` is made for.
//!
//! Invariants: a nonce is used once, because the sequence number only grows and a key is replaced, by an ordinary key
//! update, long before the limit of its cipher; nothing of a record is looked at before its tag was verified.
//!
//! Weak: no padding, so lengths show; a connection ends without `close_notify`, so that being cut between two frames
//! looks like being closed. Both mean nothing here: a message whose frame is not complete never existed.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use rustls::kernel::KernelConnection;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The most a record may hold.
pub const CONTENT_BYTES_MAX: usize = 16 << 10;
/// Type, version, length.
pub const RECORD_HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
/// The longest record that another implementation may send (with padding).
pub const RECORD_BYTES_MAX: usize = RECORD_HEADER_BYTES + CONTENT_BYTES_MAX + 256;
/// AES-GCM is good for 2²⁴ records under one key (RFC 8446 §5.5); a quarter of that are 64 GiB.
const RECORDS_PER_KEY_MAX: u64 = 1 << 22;

const TYPE_ALERT: u8 = 21;
const TYPE_HANDSHAKE: u8 = 22;
const TYPE_DATA: u8 = 23;
const MESSAGE_KEY_UPDATE: u8 = 24;
/// "I have a new key; keep yours."
const KEY_UPDATE: [u8; 5] = [MESSAGE_KEY_UPDATE, 0, 0, 1, 0];

/// Why a record cannot be had. The connection is of no further use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// Not a record of TLS 1.3, or longer than one may be.
    Malformed,
    /// The tag does not match: damaged or forged.
    Forged,
    /// The other side ends the connection, and this is its reason (0: none).
    Alert(u8),
    /// Keys could not be made or used.
    Keys(String),
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed => write!(f, "received bytes that are not TLS"),
            Self::Forged => write!(f, "received a damaged or forged TLS record"),
            Self::Alert(alert) => {
                let meaning = match alert {
                    0 => "closed",
                    42 | 43 | 46 => "it does not accept our certificate",
                    48 => "it does not know the authority of our certificate; is it of another cluster?",
                    116 => "it wants a certificate",
                    _ => "see RFC 8446 §6",
                };
                write!(f, "TLS alert {alert} from the other side: {meaning}")
            }
            Self::Keys(problem) => write!(f, "TLS keys: {problem}"),
        }
    }
}

impl std::error::Error for RecordError {}

/// One direction's key, initialisation vector and count.
struct Protection {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
}

impl Protection {
    fn new(sequence: u64, secrets: &ConnectionTrafficSecrets) -> Result<Self, RecordError> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(RecordError::Keys("a cipher that was not offered".into())),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|error| RecordError::Keys(error.to_string()))?;
        let iv = iv
            .as_ref()
            .try_into()
            .map_err(|_| RecordError::Keys("no initialisation vector".into()))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv,
            sequence,
        })
    }

    /// The nonce of the next record (RFC 8446 §5.3).
    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, count) in nonce[NONCE_LEN - 8..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What makes the next key of a connection.
pub trait Rekey {
    fn update_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
    fn update_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
}

impl<Data> Rekey for KernelConnection<Data> {
    fn update_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.update_tx_secret()
    }

    fn update_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.update_rx_secret()
    }
}

/// The keys of a connection whose handshake is done, shared by its two halves for key updates only.
pub type SharedKeys = Arc<Mutex<Box<dyn Rekey + Send>>>;

/// Protects what is sent.
pub struct Sealer {
    protection: Protection,
    keys: SharedKeys,
    records_per_key_max: u64,
}

impl Sealer {
    pub fn new(sequence: u64, secrets: &ConnectionTrafficSecrets, keys: SharedKeys) -> Result<Self, RecordError> {
        let protection = Protection::new(sequence, secrets)?;
        Ok(Self {
            protection,
            keys,
            records_per_key_max: RECORDS_PER_KEY_MAX,
        })
    }

    #[cfg(test)]
    pub fn update_keys_every(&mut self, records: u64) {
        self.records_per_key_max = records;
    }

    /// Appends one record with this content, at most [`CONTENT_BYTES_MAX`] of it.
    pub fn seal(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        if self.protection.sequence >= self.records_per_key_max {
            self.seal_as(TYPE_HANDSHAKE, &KEY_UPDATE, out)?;
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let (sequence, secrets) = keys
                .update_sending()
                .map_err(|error| RecordError::Keys(error.to_string()))?;
            self.protection = Protection::new(sequence, &secrets)?;
        }
        self.seal_as(TYPE_DATA, content, out)
    }

    fn seal_as(&mut self, kind: u8, content: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        let length = u16::try_from(content.len() + 1 + TAG_BYTES)
            .map_err(|_| RecordError::Malformed)?
            .to_be_bytes();
        let header = [TYPE_DATA, 3, 3, length[0], length[1]];
        let nonce = self.protection.nonce();
        out.extend_from_slice(&header);
        let start = out.len();
        out.extend_from_slice(content);
        out.push(kind);
        let sealed = self
            .protection
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[start..]);
        let tag = sealed.map_err(|_| RecordError::Keys("encryption failed".into()))?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// What was in a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opened {
    /// Content, so many bytes of it.
    Data(usize),
    /// A record for TLS itself; dealt with.
    Nothing,
}

/// Verifies and decrypts what is received.
pub struct Opener {
    protection: Protection,
    keys: SharedKeys,
}

/// Where the first record in these bytes ends, if it is there whole.
pub fn record(bytes: &[u8]) -> Result<Option<Range<usize>>, RecordError> {
    let Some(header) = bytes.first_chunk::<RECORD_HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if header[0] != TYPE_DATA || RECORD_HEADER_BYTES + length > RECORD_BYTES_MAX || length < 1 + TAG_BYTES {
        return Err(RecordError::Malformed);
    }
    let end = RECORD_HEADER_BYTES + length;
    Ok((bytes.len() >= end).then_some(RECORD_HEADER_BYTES..end))
}

impl Opener {
    pub fn new(sequence: u64, secrets: &ConnectionTrafficSecrets, keys: SharedKeys) -> Result<Self, RecordError> {
        Ok(Self {
            protection: Protection::new(sequence, secrets)?,
            keys,
        })
    }

    /// Decrypts a whole record where it lies; the content then begins after the record's header.
    pub fn open(&mut self, record: &mut [u8]) -> Result<Opened, RecordError> {
        let (header, sealed) = record
            .split_first_chunk_mut::<RECORD_HEADER_BYTES>()
            .ok_or(RecordError::Malformed)?;
        let nonce = self.protection.nonce();
        let plain = self
            .protection
            .key
            .open_in_place(nonce, Aad::from(&*header), sealed)
            .map_err(|_| RecordError::Forged)?;
        let length = plain.len();
        self.judge(&sealed[..length])
    }

    /// The content type is the last byte that is not zero; what follows it is padding.
    fn judge(&mut self, plain: &[u8]) -> Result<Opened, RecordError> {
        let content = plain
            .iter()
            .rposition(|byte| *byte != 0)
            .ok_or(RecordError::Malformed)?;
        match (plain[content], &plain[..content]) {
            (TYPE_DATA, _) if content <= CONTENT_BYTES_MAX => Ok(Opened::Data(content)),
            (TYPE_ALERT, [_, alert]) => Err(RecordError::Alert(*alert)),
            // Whoever asks for a key update in return (the last byte) gets none: a nonce of ours is never in danger.
            (TYPE_HANDSHAKE, [MESSAGE_KEY_UPDATE, 0, 0, 1, 0 | 1]) => {
                let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
                let updated = keys
                    .update_receiving()
                    .map_err(|error| RecordError::Keys(error.to_string()))?;
                self.protection = Protection::new(updated.0, &updated.1)?;
                Ok(Opened::Nothing)
            }
            _ => Err(RecordError::Malformed),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        CONTENT_BYTES_MAX, Opened, Opener, RECORD_HEADER_BYTES, RecordError, Rekey, Sealer, SharedKeys, record,
    };
    use proptest::prelude::{any, proptest};
    use rustls::ConnectionTrafficSecrets;
    use rustls::crypto::cipher::{AeadKey, Iv};
    use std::sync::{Arc, Mutex};

    fn secrets(byte: u8) -> ConnectionTrafficSecrets {
        ConnectionTrafficSecrets::Aes256Gcm {
            key: AeadKey::from([byte; 32]),
            iv: Iv::from([byte; 12]),
        }
    }

    /// Keys that both sides of a test count alike.
    struct Counted(u8, u8);

    impl Rekey for Counted {
        fn update_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
            self.0 += 1;
            Ok((0, secrets(self.0)))
        }

        fn update_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
            self.1 += 1;
            Ok((0, secrets(self.1)))
        }
    }

    pub fn pair() -> (Sealer, Opener) {
        let keys = || -> SharedKeys { Arc::new(Mutex::new(Box::new(Counted(1, 1)))) };
        (
            Sealer::new(0, &secrets(1), keys()).expect("sealer"),
            Opener::new(0, &secrets(1), keys()).expect("opener"),
        )
    }

    fn open_all(opener: &mut Opener, bytes: &[u8]) -> Result<Vec<u8>, RecordError> {
        let (mut bytes, mut content) = (bytes.to_vec(), Vec::new());
        while let Some(found) = record(&bytes)? {
            if let Opened::Data(length) = opener.open(&mut bytes[..found.end])? {
                content.extend_from_slice(&bytes[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length]);
            }
            bytes.drain(..found.end);
        }
        assert!(bytes.is_empty());
        Ok(content)
    }

    #[test]
    fn keys_are_replaced_on_the_way_and_nobody_notices() {
        let (mut sealer, mut opener) = pair();
        sealer.update_keys_every(3);
        let mut wire = Vec::new();
        let content: Vec<u8> = (0..100).collect();
        for byte in &content {
            sealer.seal(&[*byte], &mut wire).expect("seal");
        }
        assert_eq!(open_all(&mut opener, &wire), Ok(content));
        let keys = sealer.keys.lock().expect("lock").update_sending().expect("update");
        assert!(matches!(keys.1, ConnectionTrafficSecrets::Aes256Gcm { key, .. } if key.as_ref()[0] == 35));
    }

    #[test]
    fn a_record_repeated_dropped_or_changed_is_refused() {
        let (mut sealer, mut opener) = pair();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        sealer.seal(b"first", &mut first).expect("seal");
        sealer.seal(b"second", &mut second).expect("seal");
        assert_eq!(open_all(&mut opener, &first), Ok(b"first".to_vec()));
        assert_eq!(open_all(&mut opener, &first), Err(RecordError::Forged), "repeated");
        let (_, mut opener) = pair();
        assert_eq!(
            open_all(&mut opener, &second),
            Err(RecordError::Forged),
            "the one before was dropped"
        );
        for at in 0..first.len() {
            let (_, mut opener) = pair();
            let mut changed = first.clone();
            changed[at] ^= 1;
            assert!(opener.open(&mut changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn alerts_are_told_apart() {
        let (mut sealer, mut opener) = pair();
        let mut wire = Vec::new();
        sealer.seal_as(super::TYPE_ALERT, &[2, 48], &mut wire).expect("seal");
        assert_eq!(open_all(&mut opener, &wire), Err(RecordError::Alert(48)));
    }

    proptest! {
        #[test]
        fn content_survives_the_wire(content in proptest::collection::vec(any::<u8>(), 0..=CONTENT_BYTES_MAX)) {
            let (mut sealer, mut opener) = pair();
            let mut wire = Vec::new();
            sealer.seal(&content, &mut wire).expect("seal");
            sealer.seal(&content, &mut wire).expect("seal");
            assert_eq!(open_all(&mut opener, &wire).expect("opens"), [&content[..], &content[..]].concat());
        }

        #[test]
        fn arbitrary_bytes_are_no_records(bytes in any::<Vec<u8>>(), length in 0_u16..80) {
            let (_, mut opener) = pair();
            let _ = record(&bytes);
            let mut framed = vec![23, 3, 3];
            framed.extend_from_slice(&length.to_be_bytes());
            framed.extend_from_slice(&bytes);
            if let Ok(Some(found)) = record(&framed) {
                assert_eq!(opener.open(&mut framed[..found.end]), Err(RecordError::Forged));
            }
        }
    }
}
