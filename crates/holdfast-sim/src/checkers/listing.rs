//! *A listing never misses a put that a get at the same moment would find*, and never shows what is gone (Q4): order,
//! prefix, delimiter, depth and limits included.

use std::collections::BTreeSet;

use holdfast_core::request::{List, Page, PageEntry};

use super::acked_kept::Counted;
use super::{acked_kept, replaced};
use crate::truth::{KeyIx, Truth};

/// Judges a page that was asked for at `asked_us` and has just arrived.
#[must_use]
pub fn check_page(truth: &Truth, list: &List, page: &Page, asked_us: u64) -> Option<String> {
    check_shape(list, page).or_else(|| check_entries(truth, list, page, asked_us))
}

/// What is only promised of pages that homes answered for.
fn check_entries(truth: &Truth, list: &List, page: &Page, asked_us: u64) -> Option<String> {
    if page.by_stand_ins {
        return None;
    }
    let found = {
        page.entries
            .iter()
            .find_map(|entry| check_entry(truth, list, entry, asked_us))
    };
    found.or_else(|| check_missing(truth, list, page, asked_us))
}

/// What a key is listed as: itself, or the common prefix that stands for it.
fn listed_as<'a>(list: &List, key: &'a str) -> &'a str {
    let rest = &key[list.prefix.len()..];
    match (list.delimiter.is_empty(), rest.find(&list.delimiter)) {
        (false, Some(at)) => &key[..list.prefix.len() + at + list.delimiter.len()],
        _ => key,
    }
}

fn name(entry: &PageEntry) -> &str {
    match entry {
        PageEntry::Object { key, .. } => key,
        PageEntry::CommonPrefix(prefix) => prefix,
    }
}

fn check_shape(list: &List, page: &Page) -> Option<String> {
    let mut last = list.after.as_str();
    for entry in &page.entries {
        let name = name(entry);
        if name <= last && !(last.is_empty() && name.is_empty()) {
            return Some(format!("{list:?} shows {name:?} after {last:?}"));
        }
        if !name.starts_with(&list.prefix) {
            return Some(format!("{list:?} shows {name:?}"));
        }
        if listed_as(list, name) != name {
            return Some(format!("{list:?} shows {name:?}, which belongs into a common prefix"));
        }
        last = name;
    }
    if page.entries.len() > list.count_max as usize {
        return Some(format!("{list:?} shows {} entries", page.entries.len()));
    }
    match &page.next {
        Some(next) if next.as_str() < last || *next <= list.after => {
            Some(format!("{list:?} goes on after {next:?} although it showed {last:?}"))
        }
        _ => None,
    }
}

fn check_entry(truth: &Truth, list: &List, entry: &PageEntry, asked_us: u64) -> Option<String> {
    match entry {
        PageEntry::Object { key, record } => {
            let Some(known) = truth.key_of_name(list.settings.id, key) else {
                return Some(format!("{list:?} shows {key:?}, which nobody wrote"));
            };
            if record.visible().is_none() {
                return Some(format!("{list:?} shows {key:?}, which is deleted"));
            }
            let record = record.decode();
            acked_kept::check_record(truth, known, asked_us, &record, Counted::ByHomes)
                .or_else(|| replaced::check_record(truth, known, asked_us, &record))
        }
        PageEntry::CommonPrefix(prefix) => {
            let mut keys = truth
                .keys_of(list.settings.id)
                .filter(|(key, _)| key.starts_with(prefix.as_str()));
            let possible = keys.any(|(_, key)| may_be_listed(truth, key, asked_us));
            (!possible).then(|| format!("{list:?} shows {prefix:?} although no key begins so"))
        }
    }
}

fn check_missing(truth: &Truth, list: &List, page: &Page, asked_us: u64) -> Option<String> {
    let shown: BTreeSet<&str> = page.entries.iter().map(name).collect();
    let in_range = |name: &str| name > list.after.as_str() && page.next.as_deref().is_none_or(|next| name <= next);
    truth
        .keys_of(list.settings.id)
        .filter(|(key, _)| key.starts_with(&list.prefix))
        .find_map(|(key, index)| {
            let name = listed_as(list, key);
            let missing = in_range(name) && !shown.contains(name) && must_be_listed(truth, index, asked_us);
            missing.then(|| format!("{list:?} up to {:?} misses {key:?}, asked at {asked_us} us", page.next))
        })
}

/// Something was acknowledged, and nothing that a read could still see deletes it.
fn must_be_listed(truth: &Truth, key: KeyIx, asked_us: u64) -> bool {
    let of = truth.of(key);
    let mut acked = of.acked.iter().filter_map(|write| truth.write(*write).acked.as_ref());
    let acked = acked.find(|acked| acked.by_homes);
    let alive = |dead_us: Option<u64>| dead_us.is_none_or(|dead_us| dead_us >= asked_us);
    acked.is_some_and(|acked| acked.at_us < asked_us)
        && !of
            .dots
            .iter()
            .any(|dot| dot.content.is_deletion() && alive(dot.dead_us))
}

/// A value was written that no acknowledged write has replaced.
fn may_be_listed(truth: &Truth, key: KeyIx, asked_us: u64) -> bool {
    let alive = |dead_us: Option<u64>| dead_us.is_none_or(|dead_us| dead_us >= asked_us);
    truth
        .of(key)
        .dots
        .iter()
        .any(|dot| !dot.content.is_deletion() && alive(dot.dead_us))
}
