//! Whether a file and an object are the same.
//!
//! Another length is another content. With the same length, the time of the last change decides, which `cp` and `sync` keep
//! with the object (`mtime.rs`). Where an object does not tell it, because another tool stored it, content decides; so it does
//! with `--checksum`. Content is compared by the object's CRC64-NVME or, where it has none, by an ETag that is an MD5. Where
//! neither is there, nothing can be told, and the file is copied.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use rusty_s3::Method;

use crate::client::direct::check::{crc_of_range, has_etag};
use crate::client::mtime;
use crate::client::place::Remote;
use crate::client::s3::{Call, S3};
use crate::client::sync::side::Entry;
use crate::client::upload::crc_base64;
use crate::failure::{Failure, local};

/// What is asked of two of the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The time of the last change.
    Time,
    /// What is in them.
    Content,
}

/// What an object says when it is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Looked {
    mtime: Option<SystemTime>,
    crc: Option<String>,
    etag: String,
}

/// Whether a file is what an object is; both have the same length.
pub async fn are_same(
    s3: &S3,
    file: &Path,
    of_file: &Entry,
    object: &Remote,
    of_object: &Entry,
    by: By,
) -> Result<bool, Failure> {
    let call = Call::object(Method::Head, &object.bucket, object.object()?).header("x-amz-checksum-mode", "ENABLED");
    let response = s3.send(call).await?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let looked = Looked {
        mtime: header(mtime::HEADER).and_then(mtime::parse),
        crc: header("x-amz-checksum-crc64nvme")
            .filter(|crc| !crc.contains('-'))
            .map(str::to_owned),
        etag: header("etag").unwrap_or_default().trim_matches('"').to_owned(),
    };
    if by == By::Time
        && let Some(same) = same_time(of_file.changed, &looked, of_object)
    {
        return Ok(same);
    }
    let (path, size) = (file.to_owned(), of_file.size);
    let found = tokio::task::spawn_blocking(move || same_content(&File::open(path)?, size, &looked)).await;
    let found = found.map_err(|error| Failure::new(format!("a comparison was lost: {error}"), "run it again"))?;
    let found = found.map_err(|error| local(format!("{} cannot be read", file.display()), &error))?;
    Ok(found.unwrap_or(false))
}

/// `None` where times tell nothing.
fn same_time(of_file: Option<SystemTime>, looked: &Looked, of_object: &Entry) -> Option<bool> {
    let of_file = of_file?;
    match looked.mtime {
        Some(kept) => Some(mtime::are_same(of_file, kept)),
        // A download gives a file the time at which its object was written, where the object knows no other.
        None => of_object
            .changed
            .filter(|written| mtime::are_same(of_file, *written))
            .map(|_| true),
    }
}

/// `None` where the object has no checksum that could be compared.
fn same_content(file: &File, size: u64, looked: &Looked) -> std::io::Result<Option<bool>> {
    if let Some(crc) = &looked.crc {
        return Ok(Some(crc_base64(crc_of_range(file, 0, size)?) == *crc));
    }
    has_etag(file, &looked.etag, &[size])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_time_that_was_kept_goes_before_the_time_of_writing() {
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let entry = Entry {
            size: 1,
            changed: Some(time(9)),
            etag: String::new(),
        };
        let looked = |mtime| Looked {
            mtime,
            ..Looked::default()
        };
        assert_eq!(same_time(Some(time(5)), &looked(Some(time(5))), &entry), Some(true));
        assert_eq!(same_time(Some(time(9)), &looked(Some(time(5))), &entry), Some(false));
        assert_eq!(same_time(Some(time(9)), &looked(None), &entry), Some(true));
        // Content must decide.
        assert_eq!(same_time(Some(time(5)), &looked(None), &entry), None);
        assert_eq!(same_time(None, &looked(Some(time(5))), &entry), None);
    }
}
