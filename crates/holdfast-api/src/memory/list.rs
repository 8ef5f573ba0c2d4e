//! Listings in memory: a walk in key order that seeks past each common prefix.

use holdfast_core::ids::BucketId;
use holdfast_core::request::{Page, PageEntry, ReadFault};
use holdfast_core::wire::encoded::EncodedRecord;

use super::State;
use crate::objects::ListObjects;

impl State {
    pub(super) fn list(&self, bucket: BucketId, page: &ListObjects) -> Result<Page, ReadFault> {
        self.may_read()?;
        let mut entries: Vec<PageEntry> = Vec::new();
        let mut from = page.prefix.clone().max(page.after.clone());
        let mut last = String::new();
        'seek: loop {
            let rows = self.objects.range((bucket, from.clone())..);
            for ((_, key), stored) in rows.take_while(|((id, key), _)| *id == bucket && key.starts_with(&page.prefix)) {
                if key.as_str() <= page.after.as_str() || stored.record.visible().is_none() {
                    continue;
                }
                let rest = &key[page.prefix.len()..];
                let group = if page.delimiter.is_empty() {
                    None
                } else {
                    rest.find(&page.delimiter)
                };
                let group = group.map(|at| &key[..page.prefix.len() + at + page.delimiter.len()]);
                if group.is_some_and(|group| group <= page.after.as_str()) {
                    continue;
                }
                if entries.len() >= page.count_max as usize {
                    return Ok(Page {
                        entries,
                        next: Some(last),
                        by_stand_ins: false,
                    });
                }
                if let Some(group) = group {
                    last = group.to_owned();
                    entries.push(PageEntry::CommonPrefix(group.to_owned()));
                    // No key sorts after every key that begins so, and before this.
                    from = format!("{group}\u{10FFFF}");
                    continue 'seek;
                }
                last.clone_from(key);
                entries.push(PageEntry::Object {
                    key: key.clone(),
                    record: EncodedRecord::of(&stored.record),
                });
            }
            return Ok(Page {
                entries,
                next: None,
                by_stand_ins: false,
            });
        }
    }
}
