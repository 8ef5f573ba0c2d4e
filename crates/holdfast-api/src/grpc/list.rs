//! Listing keys: page after page as the client takes them, so that a listing of any length holds one page in memory.

use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use holdfast_core::request::PageEntry;
use holdfast_proto::v1;
use tonic::Status;

use super::{Shared, shape};
use crate::dots::dot_text;
use crate::objects::{BucketRef, ListObjects};
use crate::problem::{Answer, Problem};

/// Keys and prefixes in one message. With keys of full length it stays well below the 4 MiB that clients take.
const PAGE_ENTRIES_MAX: u32 = 500;

/// A listing under way.
struct Walk {
    app: Arc<Shared>,
    bucket: BucketRef,
    asked: v1::ListObjectsRequest,
    /// Entries still wanted.
    left: u64,
}

pub(super) async fn list(
    app: Arc<Shared>,
    asked: v1::ListObjectsRequest,
) -> Answer<BoxStream<'static, Result<v1::ListObjectsResponse, Status>>> {
    let bucket = app.bucket(&asked.bucket).await?;
    let left = if asked.limit == 0 { u64::MAX } else { asked.limit };
    let walk = Walk {
        app,
        bucket,
        asked,
        left,
    };
    let pages = stream::try_unfold(Some(walk), |walk| async move {
        let Some(walk) = walk else { return Ok(None) };
        walk.page().await.map(Some).map_err(Status::from)
    });
    Ok(pages.boxed())
}

impl Walk {
    /// The next page, and the rest of the way if there is any.
    async fn page(mut self) -> Answer<(v1::ListObjectsResponse, Option<Self>)> {
        let page = ListObjects {
            prefix: self.asked.prefix.clone(),
            delimiter: self.asked.delimiter.clone(),
            after: std::mem::take(&mut self.asked.after),
            count_max: u32::try_from(self.left)
                .unwrap_or(PAGE_ENTRIES_MAX)
                .min(PAGE_ENTRIES_MAX),
        };
        let page = self.app.objects.list(&self.bucket, page).await;
        let page = page.map_err(|fault| Problem::read(&fault))?;
        self.left = self.left.saturating_sub(page.entries.len() as u64);
        let mut answer = v1::ListObjectsResponse {
            next: page.next,
            by_stand_ins: page.by_stand_ins,
            ..v1::ListObjectsResponse::default()
        };
        for entry in page.entries {
            match entry {
                PageEntry::CommonPrefix(prefix) => answer.prefixes.push(prefix),
                PageEntry::Object { key, record } => {
                    let record = record.decode();
                    let Some(version) = record.visible() else { continue };
                    answer.objects.push(v1::ListedObject {
                        key,
                        size: version.content.size,
                        etag: version.content.etag.clone(),
                        modified: Some(shape::time(version.dot.tick.millis())),
                        dot: dot_text(version.dot),
                        siblings: shape::count(record.sibling_count()),
                        clock: Some(shape::clock(record.context())),
                    });
                }
            }
        }
        let rest = match &answer.next {
            Some(next) if self.left > 0 => {
                self.asked.after.clone_from(next);
                Some(self)
            }
            _ => None,
        };
        Ok((answer, rest))
    }
}
