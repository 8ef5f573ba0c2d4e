//! `stat` and `cat`: one object looked at, and read.

use clap::Args;
use rusty_s3::Method;
use serde_json::{Map, Value};

use crate::client::connection::S3Args;
use crate::client::download::to_writer;
use crate::client::place::Remote;
use crate::client::print::Printer;
use crate::client::progress::Progress;
use crate::client::s3::{Call, S3};
use crate::failure::Failure;

/// Show what is known of an object: length, type, ETag, checksums, metadata
#[derive(Args, Debug)]
pub struct Stat {
    /// hf://BUCKET/KEY
    pub place: Remote,
    #[command(flatten)]
    pub s3: S3Args,
}

/// Write an object to standard output
#[derive(Args, Debug)]
pub struct Cat {
    /// hf://BUCKET/KEY
    #[arg(required = true)]
    pub places: Vec<Remote>,
    #[command(flatten)]
    pub s3: S3Args,
}

/// Headers of the connection rather than of the object.
const NOT_OF_THE_OBJECT: [&str; 6] = [
    "accept-ranges",
    "connection",
    "date",
    "server",
    "x-amz-id-2",
    "x-amz-request-id",
];

/// Runs `stat`.
pub async fn stat(stat: Stat, json: bool) -> Result<(), Failure> {
    let s3 = S3::from_args(&stat.s3)?;
    let call = Call::object(Method::Head, &stat.place.bucket, stat.place.object()?);
    let response = s3.send(call.header("x-amz-checksum-mode", "ENABLED")).await?;
    let mut out = Printer::new(json);
    let mut told = vec![("place".to_owned(), stat.place.to_string())];
    for (name, value) in response.headers() {
        if !NOT_OF_THE_OBJECT.contains(&name.as_str()) {
            let value = String::from_utf8_lossy(value.as_bytes()).trim_matches('"').to_owned();
            told.push((name.as_str().to_owned(), value));
        }
    }
    if json {
        let object: Map<String, Value> = told
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .collect();
        out.line("", || Value::Object(object))?;
    } else {
        let width = told.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in told {
            out.line(format!("{name:width$}  {value}"), || Value::Null)?;
        }
    }
    out.finish()
}

/// Runs `cat`.
pub async fn cat(cat: Cat) -> Result<(), Failure> {
    let s3 = S3::from_args(&cat.s3)?;
    let mut out = tokio::io::stdout();
    for place in &cat.places {
        to_writer(&s3, place, &mut out, &Progress::hidden()).await?;
    }
    Ok(())
}
