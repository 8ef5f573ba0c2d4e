//! `ls`, and the pages of keys that recursive verbs walk.

use clap::Args;
use rusty_s3::Method;
use rusty_s3::actions::{ListObjectsV2, ListObjectsV2Response};
use serde_json::json;

use crate::client::answer::{elements, unreadable};
use crate::client::connection::S3Args;
use crate::client::place::Remote;
use crate::client::print::Printer;
use crate::client::s3::{Call, S3};
use crate::failure::Failure;
use crate::quantity::show_bytes;

/// List buckets, or what is in one
#[derive(Args, Debug)]
pub struct Ls {
    /// hf://BUCKET or hf://BUCKET/PREFIX; without it, the buckets
    pub place: Option<Remote>,
    /// All keys below, instead of grouping at the next slash
    #[arg(short, long)]
    pub recursive: bool,
    /// Sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,
    #[command(flatten)]
    pub s3: S3Args,
}

/// One key of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its length.
    pub size: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// When it was written, as S3 writes dates.
    pub modified: String,
}

/// One page.
#[derive(Debug, Default)]
pub struct Page {
    /// Keys.
    pub entries: Vec<Entry>,
    /// What the delimiter grouped.
    pub prefixes: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Runs `ls`.
pub async fn run(ls: Ls, json: bool) -> Result<(), Failure> {
    let s3 = S3::from_args(&ls.s3)?;
    let mut out = Printer::new(json);
    let size = |bytes: u64| if ls.bytes { bytes.to_string() } else { show_bytes(bytes) };
    match &ls.place {
        None => {
            for (name, created) in buckets(&s3).await? {
                out.line(
                    format!("{created}  {name}"),
                    || json!({ "bucket": name, "created": created }),
                )?;
            }
        }
        Some(place) => {
            let delimiter = if ls.recursive { "" } else { "/" };
            let mut after = None;
            let mut seen = false;
            loop {
                let page = page(&s3, place, delimiter, after.as_deref()).await?;
                seen |= !page.entries.is_empty() || !page.prefixes.is_empty();
                for line in merged(&page) {
                    match line {
                        Line::Prefix(prefix) => {
                            out.line(
                                format!("{:20}  {:>10}  {prefix}", "", "dir"),
                                || json!({ "prefix": prefix }),
                            )?;
                        }
                        Line::Key(entry) => {
                            let modified = short_date(&entry.modified);
                            out.line(format!("{modified:20}  {:>10}  {}", size(entry.size), entry.key), || {
                                json!({ "key": entry.key, "size": entry.size, "etag": entry.etag, "modified": entry.modified })
                            })?;
                        }
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            if !seen && !place.key.is_empty() {
                out.finish()?;
                return Err(Failure::new(
                    format!("nothing begins with {place}"),
                    format!("see what there is with `holdfast ls hf://{}`", place.bucket),
                )
                .exit(crate::failure::Exit::NotFound));
            }
        }
    }
    out.finish()
}

/// All buckets with the dates of their creation.
pub async fn buckets(s3: &S3) -> Result<Vec<(String, String)>, Failure> {
    let response = s3.send(Call::service(Method::Get)).await?;
    let text = response
        .text()
        .await
        .map_err(|error| unreadable("the list of buckets", error))?;
    let dates = elements(&text, "CreationDate");
    Ok(elements(&text, "Name")
        .zip(dates.map(|date| short_date(&date)))
        .collect())
}

/// One page of the keys that begin with the place's key.
pub async fn page(s3: &S3, place: &Remote, delimiter: &str, after: Option<&str>) -> Result<Page, Failure> {
    let mut call = Call::bucket(Method::Get, &place.bucket)
        .query("list-type", "2")
        .query("encoding-type", "url");
    if !place.key.is_empty() {
        call = call.query("prefix", place.key.as_str());
    }
    if !delimiter.is_empty() {
        call = call.query("delimiter", delimiter);
    }
    if let Some(after) = after {
        call = call.query("continuation-token", after);
    }
    let text = s3
        .send(call)
        .await?
        .text()
        .await
        .map_err(|error| unreadable("the listing", error))?;
    let page = ListObjectsV2::parse_response(&text).map_err(|error| unreadable("the listing", error))?;
    Ok(from_answer(page))
}

fn from_answer(answer: ListObjectsV2Response) -> Page {
    let entries = answer.contents.into_iter().map(|content| Entry {
        key: content.key,
        size: content.size.unwrap_or_default(),
        etag: content.etag.unwrap_or_default().trim_matches('"').to_owned(),
        modified: content.last_modified.unwrap_or_default(),
    });
    Page {
        entries: entries.collect(),
        prefixes: answer.common_prefixes.into_iter().map(|common| common.prefix).collect(),
        next: answer.next_continuation_token,
    }
}

enum Line<'a> {
    Prefix(&'a str),
    Key(&'a Entry),
}

/// Keys and prefixes of a page come apart; people read them in one order.
fn merged(page: &Page) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = page.prefixes.iter().map(|prefix| Line::Prefix(prefix)).collect();
    lines.extend(page.entries.iter().map(Line::Key));
    lines.sort_by_key(|line| match line {
        Line::Prefix(prefix) => *prefix,
        Line::Key(entry) => entry.key.as_str(),
    });
    lines
}

/// `2026-11-22T03:04:05.678Z` as `2026-11-22 03:04:05`.
pub fn short_date(date: &str) -> String {
    date.get(..19).unwrap_or(date).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_prefixes_are_shown_in_one_order() {
        let entry = |key: &str| Entry {
            key: key.to_owned(),
            size: 1,
            etag: String::new(),
            modified: String::new(),
        };
        let page = Page {
            entries: vec![entry("a"), entry("c")],
            prefixes: vec!["b/".to_owned()],
            next: None,
        };
        let names: Vec<&str> = merged(&page)
            .into_iter()
            .map(|line| match line {
                Line::Prefix(prefix) => prefix,
                Line::Key(entry) => entry.key.as_str(),
            })
            .collect();
        assert_eq!(names, ["a", "b/", "c"]);
    }

    #[test]
    fn dates_are_cut_to_seconds() {
        assert_eq!(short_date("2026-11-22T03:04:05.678Z"), "2026-11-22 03:04:05");
        assert_eq!(short_date(""), "");
    }
}
