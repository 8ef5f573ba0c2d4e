//! Pages of keys.

use axum::extract::{Path, State};
use holdfast_core::request::PageEntry;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::buckets::InBucket;
use super::faults::{BadRequest, NoSuchBucket, ReadFaults};
use super::query::Query;
use super::shape::{LifeTold, Success, Told, clock, dot_text, time};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::objects::ListObjects;
use crate::problem::{Answer, Problem};

/// What a listing may be asked.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListOptions {
    /// Only keys that begin so
    #[serde(default)]
    prefix: String,
    /// Groups keys that go on behind it
    #[serde(default)]
    delimiter: String,
    /// Only what comes after this: `next` of the page before
    #[serde(default)]
    after: String,
    /// At most so many keys and groups; 1,000 when left out, and at most
    #[param(format = Int64, maximum = 4294967295u32)]
    limit: Option<u32>,
}

/// An object in a page
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    #[schema(example = "cat.jpg")]
    key: String,
    /// Length of its body
    size: u64,
    /// Its ETag, without quotes
    etag: String,
    #[schema(format = DateTime)]
    modified: String,
    /// The name of the version
    dot: String,
    /// How many concurrent versions there are
    siblings: usize,
    /// The version vector of the key
    clock: Vec<LifeTold>,
}

/// A page of keys
#[derive(Serialize, ToSchema)]
#[schema(as = Page)]
pub(super) struct PageTold {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    objects: Vec<Listed>,
    /// What the delimiter grouped
    prefixes: Vec<String>,
    /// Where the next page begins; null on the last one
    next: Option<String>,
}

/// List keys
///
/// A page of them in order; go on with `after` = `next`.
#[utoipa::path(
    get, path = "/v1/buckets/{bucket}/objects", operation_id = "list_objects", tag = "objects",
    params(InBucket, ListOptions),
    responses(
        (status = 200, description = "A page", body = PageTold),
        BadRequest, NoSuchBucket, ReadFaults,
    )
)]
pub(super) async fn list(
    State(app): App,
    Path(InBucket { bucket }): Path<InBucket>,
    Query(options): Query<ListOptions>,
) -> Answer<Told<PageTold>> {
    let bucket = app.bucket(&bucket).await?;
    let page = ListObjects {
        prefix: options.prefix,
        delimiter: options.delimiter,
        after: options.after,
        count_max: options.limit.unwrap_or(PAGE_ENTRIES_MAX).clamp(1, PAGE_ENTRIES_MAX),
    };
    let page = app.objects.list(&bucket, page).await;
    let page = page.map_err(|fault| Problem::read(&fault))?;
    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            PageEntry::CommonPrefix(prefix) => prefixes.push(prefix),
            PageEntry::Object { key, record } => {
                let record = record.decode();
                let Some(version) = record.visible() else { continue };
                objects.push(Listed {
                    key,
                    size: version.content.size,
                    etag: version.content.etag.clone(),
                    modified: time(version.dot.tick.millis()),
                    dot: dot_text(version.dot),
                    siblings: record.sibling_count(),
                    clock: clock(record.context()),
                });
            }
        }
    }
    Ok(Told(PageTold {
        status: Success::Success,
        bucket: bucket.name.clone(),
        objects,
        prefixes,
        next: page.next,
    }))
}
