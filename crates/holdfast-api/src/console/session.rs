//! Sessions of the console: what the browser holds instead of a secret.
//!
//! A session is a cookie that says who signed in, until when, and through which process; its code (BLAKE3, keyed with a key
//! that all members derive from the cluster's secret) makes it good on every member, so that the console of another node goes
//! on where this one's was lost. Nodes share nothing else, so the rest is bounded by time:
//!
//! - A session lasts a quarter of an hour. Only the process that began it renews it, and no longer than half a day.
//! - Signing out is remembered by the node asked, for as long as the session could have been renewed, and told to the others
//!   in a whisper, which may be lost. A node that did not hear it takes a stolen copy for the rest of its quarter of an hour.
//! - A key that is turned off or deleted ends its sessions at the next request, on every node.
//!
//! Invariant: what is remembered is bounded, and only who is signed in can add to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::request_id::secret_u128;

/// How long a session lasts unless it is renewed, in milliseconds.
pub(crate) const LASTS_MS: u64 = 15 * 60 * 1000;
/// How long it can be renewed after signing in, in milliseconds.
const RENEWED_FOR_MS: u64 = 12 * 3600 * 1000;
/// Sessions that were ended and are remembered.
const ENDED_MAX: usize = 4096;
/// Longest cookie that is looked at: a principal is an access key's id.
const COOKIE_CHARS_MAX: usize = 1024;
/// Id, process, begun, until.
const FIXED_BYTES: usize = 16 + 8 + 8 + 8;
const CODE_BYTES: usize = 32;

/// Who signed in, and until when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    id: u128,
    /// The process that began it.
    process: u64,
    begun_ms: u64,
    /// When it ends, in Unix milliseconds.
    pub(crate) until_ms: u64,
    /// An access key id, or `admin`.
    pub(crate) principal: String,
}

/// Makes, knows and ends sessions.
pub(crate) struct Sessions {
    key: [u8; 32],
    process: u64,
    /// Ended sessions, and until when they must be remembered.
    ended: Mutex<BTreeMap<u128, u64>>,
    /// Tells of sessions ended here.
    told: broadcast::Sender<String>,
}

impl Sessions {
    /// With the key that all members share; one of its own otherwise.
    pub(crate) fn new(key: Option<[u8; 32]>) -> Self {
        let drawn = || *blake3::hash(&[secret_u128().to_be_bytes(), secret_u128().to_be_bytes()].concat()).as_bytes();
        Self {
            key: key.unwrap_or_else(drawn),
            process: (secret_u128() >> 64) as u64,
            ended: Mutex::new(BTreeMap::new()),
            told: broadcast::Sender::new(64),
        }
    }

    /// Begins a session.
    pub(crate) fn begin(&self, principal: String, now_ms: u64) -> Session {
        Session {
            id: secret_u128(),
            process: self.process,
            begun_ms: now_ms,
            until_ms: now_ms + LASTS_MS,
            principal,
        }
    }

    /// The same session for longer, if it may be.
    pub(crate) fn renew(&self, session: &Session, now_ms: u64) -> Option<Session> {
        let last_ms = session.begun_ms + RENEWED_FOR_MS;
        (session.process == self.process && now_ms < last_ms).then(|| Session {
            until_ms: (now_ms + LASTS_MS).min(last_ms),
            ..session.clone()
        })
    }

    /// The session as a cookie's value.
    pub(crate) fn seal(&self, session: &Session) -> String {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + session.principal.len() + CODE_BYTES);
        bytes.extend_from_slice(&session.id.to_be_bytes());
        for number in [session.process, session.begun_ms, session.until_ms] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(session.principal.as_bytes());
        let code = blake3::keyed_hash(&self.key, &bytes);
        bytes.extend_from_slice(code.as_bytes());
        crate::intake::hex(&bytes)
    }

    /// The session in a cookie, unless it was forged, is over or was ended.
    pub(crate) fn open(&self, cookie: &str, now_ms: u64) -> Option<Session> {
        if cookie.len() > COOKIE_CHARS_MAX {
            return None;
        }
        let bytes = hex_simd::decode_to_vec(cookie).ok()?;
        let (told, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE_BYTES)?)?;
        let code: [u8; CODE_BYTES] = code.try_into().ok()?;
        // Hashes compare in constant time.
        if blake3::keyed_hash(&self.key, told) != blake3::Hash::from(code) {
            return None;
        }
        let (fixed, principal) = told.split_at_checked(FIXED_BYTES)?;
        let number = |at: usize| Some(u64::from_be_bytes(fixed.get(at..at + 8)?.try_into().ok()?));
        let session = Session {
            id: u128::from_be_bytes(fixed.get(..16)?.try_into().ok()?),
            process: number(16)?,
            begun_ms: number(24)?,
            until_ms: number(32)?,
            principal: String::from_utf8(principal.to_vec()).ok()?,
        };
        let is_over = session.until_ms <= now_ms || self.ended().contains_key(&session.id);
        (!is_over).then_some(session)
    }

    /// Ends a session here, and tells those who tell others.
    pub(crate) fn sign_out(&self, session: &Session, now_ms: u64) {
        self.remember(session.id, session.begun_ms + RENEWED_FOR_MS, now_ms);
        // Nobody tells others on a node without any.
        let _ = self.told.send(format!("{:032x}", session.id));
    }

    /// Ends a session of which another member says that it was ended there.
    pub(crate) fn end(&self, id: &str, now_ms: u64) {
        if let Ok(id) = u128::from_str_radix(id, 16) {
            self.remember(id, now_ms + RENEWED_FOR_MS, now_ms);
        }
    }

    /// Sessions that are ended here from now on.
    pub(crate) fn ended_here(&self) -> broadcast::Receiver<String> {
        self.told.subscribe()
    }

    fn remember(&self, id: u128, until_ms: u64, now_ms: u64) {
        let mut ended = self.ended();
        ended.retain(|_, until_ms| *until_ms > now_ms);
        if ended.len() >= ENDED_MAX {
            // The one that would be forgotten first has had the most time to end by itself.
            let first = ended.iter().min_by_key(|(_, until_ms)| **until_ms).map(|(id, _)| *id);
            first.map(|id| ended.remove(&id));
        }
        ended.insert(id, until_ms);
    }

    fn ended(&self) -> MutexGuard<'_, BTreeMap<u128, u64>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{ENDED_MAX, LASTS_MS, RENEWED_FOR_MS, Sessions};

    const NOW_MS: u64 = 1_767_323_045_678;

    #[test]
    fn a_session_is_good_on_every_member_until_it_is_over() {
        let (here, there, elsewhere) = (
            Sessions::new(Some([7; 32])),
            Sessions::new(Some([7; 32])),
            Sessions::new(None),
        );
        let session = here.begin("AK1".to_owned(), NOW_MS);
        let cookie = here.seal(&session);
        assert_eq!(there.open(&cookie, NOW_MS), Some(session));
        assert_eq!(elsewhere.open(&cookie, NOW_MS), None);
        assert_eq!(here.open(&cookie, NOW_MS + LASTS_MS), None);
    }

    #[test]
    fn nothing_can_be_changed_in_a_cookie() {
        let sessions = Sessions::new(None);
        let cookie = sessions.seal(&sessions.begin("admin".to_owned(), NOW_MS));
        for at in 0..cookie.len() {
            let mut other = cookie.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(sessions.open(std::str::from_utf8(&other).unwrap(), NOW_MS), None);
        }
        for other in ["", "00", "zz", &cookie[2..], &format!("{cookie}00"), &"00".repeat(4096)] {
            assert_eq!(sessions.open(other, NOW_MS), None);
        }
    }

    #[test]
    fn only_the_process_that_began_it_renews_a_session_and_not_for_ever() {
        let (here, there) = (Sessions::new(Some([7; 32])), Sessions::new(Some([7; 32])));
        let session = here.begin("AK1".to_owned(), NOW_MS);
        assert_eq!(there.renew(&session, NOW_MS), None);
        let later = here.renew(&session, NOW_MS + 1_000).unwrap();
        assert_eq!(later.until_ms, NOW_MS + 1_000 + LASTS_MS);
        let last = here.renew(&later, NOW_MS + RENEWED_FOR_MS - 1).unwrap();
        assert_eq!(last.until_ms, NOW_MS + RENEWED_FOR_MS);
        assert_eq!(here.renew(&later, NOW_MS + RENEWED_FOR_MS), None);
    }

    #[test]
    fn who_signed_out_is_out_also_with_a_renewed_cookie_and_where_it_was_heard() {
        let (here, there) = (Sessions::new(Some([7; 32])), Sessions::new(Some([7; 32])));
        let mut told = here.ended_here();
        let session = here.begin("AK1".to_owned(), NOW_MS);
        let renewed = here.seal(&here.renew(&session, NOW_MS + 1).unwrap());
        here.sign_out(&session, NOW_MS + 2);
        assert_eq!(here.open(&renewed, NOW_MS + 2), None);
        assert!(there.open(&renewed, NOW_MS + 2).is_some());
        there.end(&told.try_recv().unwrap(), NOW_MS + 2);
        assert_eq!(there.open(&renewed, NOW_MS + 2), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let sessions = Sessions::new(None);
        for _ in 0..ENDED_MAX + 10 {
            let session = sessions.begin("AK1".to_owned(), NOW_MS);
            sessions.sign_out(&session, NOW_MS);
        }
        assert_eq!(sessions.ended().len(), ENDED_MAX);
        let last = sessions.begin("AK1".to_owned(), NOW_MS);
        sessions.sign_out(&last, NOW_MS + 2 * RENEWED_FOR_MS);
        assert_eq!(sessions.ended().len(), 1, "what is over anyway is forgotten");
    }
}
