//! `rm`: one object, or everything that begins so.

use std::sync::Arc;

use clap::Args;
use rusty_s3::Method;
use serde_json::json;

use crate::client::answer::{element, elements, unreadable};
use crate::client::connection::S3Args;
use crate::client::list::page;
use crate::client::place::Remote;
use crate::client::print::Printer;
use crate::client::s3::{Call, S3};
use crate::failure::{Exit, Failure, State};

/// Remove objects
#[derive(Args, Debug)]
pub struct Rm {
    /// hf://BUCKET/KEY; with -r, hf://BUCKET/PREFIX or a whole bucket
    #[arg(required = true)]
    pub places: Vec<Remote>,
    /// Everything that begins so
    #[arg(short, long)]
    pub recursive: bool,
    /// Say nothing of each object
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub s3: S3Args,
}

/// Runs `rm`.
pub async fn run(rm: Rm, json: bool) -> Result<(), Failure> {
    let s3 = Arc::new(S3::from_args(&rm.s3)?);
    let mut out = Printer::new(json);
    for place in &rm.places {
        if rm.recursive {
            remove_all(&s3, place, |key| {
                if rm.quiet {
                    return Ok(());
                }
                out.line(
                    format!("removed {}", place.with_key(key)),
                    || json!({ "removed": place.with_key(key).to_string() }),
                )
            })
            .await?;
            continue;
        }
        if place.key.is_empty() {
            return Err(Failure::usage(
                format!("{place} is a bucket"),
                format!("remove what is in it with `holdfast rm -r {place}`, itself with `holdfast rb {place}`"),
            ));
        }
        s3.send(Call::object(Method::Delete, &place.bucket, place.object()?))
            .await?;
        if !rm.quiet {
            out.line(format!("removed {place}"), || json!({ "removed": place.to_string() }))?;
        }
    }
    out.finish()
}

/// Removes every key that begins with the place's, a page at a time, and returns how many. `told` hears each.
pub async fn remove_all(
    s3: &Arc<S3>,
    place: &Remote,
    mut told: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut removed = 0;
    let mut after: Option<String> = None;
    loop {
        let page = page(s3, place, "", after.as_deref()).await?;
        let keys: Vec<String> = page.entries.into_iter().map(|entry| entry.key).collect();
        if !keys.is_empty() {
            remove_page(s3, place, &keys)
                .await
                .map_err(|failure| partly(failure, removed))?;
            removed += keys.len() as u64;
            for key in &keys {
                told(key)?;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(removed);
        }
    }
}

/// Gives up every upload that is open in a bucket: they, too, keep it from being empty.
pub async fn abort_uploads(s3: &S3, bucket: &str) -> Result<(), Failure> {
    loop {
        let text = s3
            .send(Call::bucket(Method::Get, bucket).query("uploads", ""))
            .await?
            .text()
            .await;
        let text = text.map_err(|error| unreadable("the list of uploads", error))?;
        let uploads: Vec<String> = elements(&text, "Upload").collect();
        if uploads.is_empty() {
            return Ok(());
        }
        // What was aborted is not listed again, so the first page is always the next one.
        for upload in uploads {
            let (Some(key), Some(id)) = (element(&upload, "Key"), element(&upload, "UploadId")) else {
                return Err(unreadable("the list of uploads", "an upload has no key or id"));
            };
            s3.send(Call::object(Method::Delete, bucket, &key).query("uploadId", id))
                .await?;
        }
    }
}

/// One multi-delete; S3 allows 1,000 keys in one, which is also the length of a page.
pub async fn remove_page(s3: &S3, place: &Remote, keys: &[String]) -> Result<(), Failure> {
    let objects: String = keys
        .iter()
        .map(|key| format!("<Object><Key>{}</Key></Object>", escape(key)))
        .collect();
    let body =
        format!("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>{objects}</Delete>");
    let call = Call::bucket(Method::Post, &place.bucket)
        .query("delete", "")
        .header("content-type", "application/xml")
        .header(
            "x-amz-checksum-crc64nvme",
            crate::client::upload::crc_text(body.as_bytes()),
        )
        .body(body.into());
    let text = s3
        .send(call)
        .await?
        .text()
        .await
        .map_err(|error| unreadable("the deletion", error).state(State::Unknown))?;
    // A quiet answer lists only what failed.
    match element(&text, "Error") {
        None => Ok(()),
        Some(error) => {
            let part = |name| element(&error, name).unwrap_or_default();
            let what = format!(
                "{} could not be removed: {}: {}",
                place.with_key(part("Key")),
                part("Code"),
                part("Message")
            );
            Err(Failure::new(what, "run the command again")
                .exit(Exit::Failed)
                .state(State::Unknown))
        }
    }
}

fn partly(failure: Failure, removed: u64) -> Failure {
    if removed == 0 {
        return failure;
    }
    failure.state(State::Partly(format!(
        "{removed} objects were removed before; run the command again for the rest"
    )))
}

/// Keys may hold anything; control characters that XML 1.0 cannot carry are sent as references, as the SDKs do.
fn escape(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for c in key.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            c if c.is_control() => text.push_str(&format!("&#{};", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped() {
        assert_eq!(escape("a<b>&\"c'\r\nü"), "a&lt;b&gt;&amp;&quot;c'&#13;&#10;ü");
    }
}
