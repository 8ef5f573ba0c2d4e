//! Pages of keys.

use axum::Json;
use axum::extract::{Path, State};
use holdfast_core::request::PageEntry;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::query::Query;
use super::shape;
use crate::limits::PAGE_ENTRIES_MAX;
use crate::objects::ListObjects;
use crate::problem::{Answer, Problem};

/// What a listing may be asked.
#[derive(Deserialize)]
pub(super) struct ListOptions {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    delimiter: String,
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): App,
    Path(bucket): Path<String>,
    Query(options): Query<ListOptions>,
) -> Answer<Json<Value>> {
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
            PageEntry::CommonPrefix(prefix) => prefixes.push(Value::from(prefix)),
            PageEntry::Object { key, record } => {
                let record = record.decode();
                let Some(version) = record.visible() else { continue };
                objects.push(json!({
                    "key": key,
                    "size": version.content.size,
                    "etag": version.content.etag,
                    "modified": shape::time(version.dot.tick.millis()),
                    "dot": shape::dot_text(version.dot),
                    "siblings": record.sibling_count(),
                    "clock": shape::clock(record.context()),
                }));
            }
        }
    }
    Ok(Json(json!({
        "status": "success",
        "bucket": bucket.name,
        "objects": objects,
        "prefixes": prefixes,
        "next": page.next,
    })))
}
