//! Buckets as a whole: `mb`, `rb`, and `bucket info`, which asks the REST interface for counts and bytes.

use std::sync::Arc;

use clap::{Args, Subcommand};
use rusty_s3::Method;
use serde_json::json;

use crate::client::connection::{RestArgs, S3Args};
use crate::client::place::Remote;
use crate::client::print::Printer;
use crate::client::remove::{abort_uploads, remove_all};
use crate::client::rest::{Rest, number, text};
use crate::client::s3::{Call, S3};
use crate::failure::Failure;
use crate::quantity::show_bytes;

/// Make a bucket
#[derive(Args, Debug)]
pub struct Mb {
    /// hf://BUCKET
    pub place: Remote,
    #[command(flatten)]
    pub s3: S3Args,
}

/// Remove a bucket
#[derive(Args, Debug)]
pub struct Rb {
    /// hf://BUCKET
    pub place: Remote,
    /// Remove all its objects first
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub s3: S3Args,
}

/// What can be asked of a bucket
#[derive(Subcommand, Debug)]
pub enum BucketVerb {
    /// Show its objects, bytes and settings
    Info {
        /// Its name
        place: Remote,
        #[command(flatten)]
        rest: RestArgs,
    },
}

/// Runs `mb`.
pub async fn make(mb: Mb, json: bool) -> Result<(), Failure> {
    let name = mb.place.whole_bucket()?;
    let s3 = S3::from_args(&mb.s3)?;
    s3.send(Call::bucket(Method::Put, name)).await?;
    let mut out = Printer::new(json);
    out.line(format!("made hf://{name}"), || json!({ "made": name }))?;
    out.finish()
}

/// Runs `rb`.
pub async fn remove(rb: Rb, json: bool) -> Result<(), Failure> {
    let name = rb.place.whole_bucket()?;
    let s3 = Arc::new(S3::from_args(&rb.s3)?);
    let mut objects = 0;
    if rb.force {
        objects = remove_all(&s3, &rb.place, |_| Ok(())).await?;
        abort_uploads(&s3, name).await?;
    }
    s3.send(Call::bucket(Method::Delete, name)).await?;
    let mut out = Printer::new(json);
    let with = if rb.force {
        format!(" and {objects} objects")
    } else {
        String::new()
    };
    out.line(
        format!("removed hf://{name}{with}"),
        || json!({ "removed": name, "objects": objects }),
    )?;
    out.finish()
}

/// Runs `bucket …`.
pub async fn run(verb: BucketVerb, json: bool) -> Result<(), Failure> {
    let BucketVerb::Info { place, rest } = verb;
    let name = place.whole_bucket()?;
    let answer = Rest::from_args(&rest)?.get(&["buckets", name], &[]).await?;
    let mut out = Printer::new(json);
    if json {
        out.line("", || answer)?;
        return out.finish();
    }
    out.line(format!("bucket   {name}"), || json!(null))?;
    out.line(format!("objects  {}", number(&answer, "objects")), || json!(null))?;
    let bytes = number(&answer, "bytes");
    out.line(format!("bytes    {bytes} ({})", show_bytes(bytes)), || json!(null))?;
    for (name, key) in [("owner", "owner"), ("created", "created"), ("conflict", "conflict")] {
        if let Some(value) = text(&answer, key) {
            out.line(format!("{name:8} {value}"), || json!(null))?;
        }
    }
    out.finish()
}
