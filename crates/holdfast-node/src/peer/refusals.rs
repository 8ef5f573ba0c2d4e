//! Log lines about connections that were refused or could not be made: at most one every few seconds for each cause.
//!
//! A scanner on the port, or a peer that is down for a day, would else fill the log and hide what matters. What was
//! left out is counted and told with the next line.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Often enough to follow by eye, seldom enough to read the rest.
const EVERY: Duration = Duration::from_secs(10);
/// Causes are few (kinds of refusal, peers); beyond this the oldest are forgotten.
const CAUSES_MAX: usize = 256;

/// When each cause was last told, and how often it was not.
#[derive(Debug, Default)]
pub struct Refusals {
    told: Mutex<BTreeMap<String, (Instant, u64)>>,
}

impl Refusals {
    /// Whether to tell of this cause now; if so, how many times it was left out since.
    pub fn tell(&self, cause: &str) -> Option<u64> {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, left_out)) = told.get_mut(cause) {
            if now.duration_since(*last) < EVERY {
                *left_out += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(left_out));
        }
        if told.len() >= CAUSES_MAX {
            let oldest = told
                .iter()
                .min_by_key(|(_, (last, _))| *last)
                .map(|(cause, _)| cause.clone());
            oldest.and_then(|cause| told.remove(&cause));
        }
        told.insert(cause.to_owned(), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{CAUSES_MAX, Refusals};

    #[test]
    fn a_cause_is_told_once_and_causes_are_bounded() {
        let refusals = Refusals::default();
        assert_eq!(refusals.tell("a"), Some(0));
        assert_eq!(refusals.tell("a"), None);
        assert_eq!(refusals.tell("b"), Some(0));
        for i in 0..2 * CAUSES_MAX {
            refusals.tell(&i.to_string());
        }
        assert!(refusals.told.lock().expect("lock").len() <= CAUSES_MAX);
    }
}
