//! Bytes out of the cluster, into a file or a pipe.
//!
//! A file appears under its name only when it is whole: bytes go to a temporary file beside it, are checked against the
//! object's CRC64-NVME where it has one, synced, and renamed. A connection that breaks on the way is taken up again on
//! another node from the byte reached, but only for the same version (`If-Match`).

use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};
use reqwest::Response;
use rusty_s3::Method;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::client::connection::chain;
use crate::client::direct::Moved;
use crate::client::mtime;
use crate::client::place::Remote;
use crate::client::progress::Progress;
use crate::client::s3::{Call, S3};
use crate::client::upload::crc_base64;
use crate::failure::{Exit, Failure, State, local};

/// How often a broken transfer is taken up again before giving up.
const RESUMES_MAX: u32 = 5;

/// Copies an object into a file.
pub async fn to_file(s3: &S3, from: &Remote, path: &Path, progress: &Progress) -> Result<Moved, Failure> {
    let response = open(s3, from, None).await?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .map_err(|error| local(format!("{} cannot be made", parent.display()), &error))?;
    }
    let partial = partial_path(path);
    let opened = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&partial)
        .await;
    let mut file = opened.map_err(|error| local(format!("{} cannot be written", partial.display()), &error))?;
    let done = match stream(s3, from, response, &mut file, progress).await {
        Ok(moved) => file
            .sync_all()
            .await
            .and_then(|()| std::fs::rename(&partial, path))
            .map(|()| moved)
            .map_err(|error| local(format!("{} cannot be written", path.display()), &error)),
        Err(failure) => Err(failure),
    };
    if done.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    done
}

/// Copies an object to a writer. What was written stays written when it fails midway.
pub async fn to_writer<W: AsyncWrite + Unpin>(
    s3: &S3,
    from: &Remote,
    to: &mut W,
    progress: &Progress,
) -> Result<Moved, Failure> {
    let response = open(s3, from, None).await?;
    stream(s3, from, response, to, progress).await
}

/// Where to go on, and with which version.
struct Resume<'a> {
    at: u64,
    etag: &'a str,
}

async fn open(s3: &S3, from: &Remote, resume: Option<Resume<'_>>) -> Result<Response, Failure> {
    let mut call = Call::object(Method::Get, &from.bucket, from.object()?).header("x-amz-checksum-mode", "ENABLED");
    if let Some(resume) = resume {
        call = call
            .header("range", format!("bytes={}-", resume.at))
            .header("if-match", resume.etag);
    }
    s3.send(call).await
}

async fn stream<W: AsyncWrite + Unpin>(
    s3: &S3,
    from: &Remote,
    mut response: Response,
    to: &mut W,
    progress: &Progress,
) -> Result<Moved, Failure> {
    let expected = Expected::of(&response);
    progress.expect(expected.bytes);
    let mut crc = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut written = 0_u64;
    let mut resumes = 0;
    loop {
        let broken = loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    crc.update(&bytes);
                    to.write_all(&bytes).await.map_err(|error| write_failed(&error))?;
                    written += bytes.len() as u64;
                    progress.advance(bytes.len() as u64);
                }
                Ok(None) if expected.bytes.is_some_and(|bytes| written < bytes) => {
                    break "it ended early".to_owned();
                }
                Ok(None) => {
                    to.flush().await.map_err(|error| write_failed(&error))?;
                    let bytes = expected.check(from, written, crc.finalize())?;
                    let checked = if expected.crc.is_some() { "crc64nvme" } else { "length" };
                    return Ok(Moved {
                        mtime: expected.mtime,
                        ..Moved::through_one(bytes, checked)
                    });
                }
                Err(error) => break chain(&error.without_url()),
            }
        };
        resumes += 1;
        let Some(etag) = expected.etag.as_deref().filter(|_| resumes <= RESUMES_MAX) else {
            return Err(Failure::new(
                format!("{from} broke off after {written} bytes: {broken}"),
                "try again; see which nodes are down with `holdfast cluster status`",
            )
            .exit(Exit::Unavailable));
        };
        response = open(s3, from, Some(Resume { at: written, etag })).await?;
        if written > 0 && response.status().as_u16() != 206 {
            return Err(Failure::new(
                format!("{from} cannot be taken up again midway"),
                "try again",
            ));
        }
    }
}

/// What the first answer promised.
struct Expected {
    bytes: Option<u64>,
    etag: Option<String>,
    crc: Option<String>,
    mtime: Option<String>,
}

impl Expected {
    fn of(response: &Response) -> Self {
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        // A composite checksum is one of the parts' checksums; it cannot be compared with that of the bytes.
        let whole = header("x-amz-checksum-type").is_none_or(|kind| kind == "FULL_OBJECT");
        Self {
            bytes: response.content_length(),
            etag: header("etag"),
            mtime: header(mtime::HEADER),
            crc: header("x-amz-checksum-crc64nvme").filter(|text| whole && !text.contains('-')),
        }
    }

    fn check(&self, from: &Remote, written: u64, crc: u64) -> Result<u64, Failure> {
        match &self.crc {
            Some(expected) if *expected != crc_base64(crc) => Err(Failure::new(
                format!(
                    "{from} was damaged on the way: its checksum is {expected}, that of the bytes {}",
                    crc_base64(crc)
                ),
                "try again; if it stays so, look at the node's log",
            )),
            _ => Ok(written),
        }
    }
}

fn write_failed(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    local("the output could not be written", error).state(State::Unchanged)
}

/// Beside the target, so that the rename stays on one file system; hidden, and different for every process.
fn partial_path(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    // A file name has at most 255 bytes; the key is only there for people who look.
    let name: String = name.chars().take(40).collect();
    let mut random = [0_u8; 4];
    let _ = getrandom::fill(&mut random);
    path.with_file_name(format!(
        ".{name}.{}-{:08x}.partial",
        std::process::id(),
        u32::from_ne_bytes(random)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_files_lie_beside_their_target() {
        let partial = partial_path(Path::new("/a/b/kelp.jpg"));
        assert_eq!(partial.parent(), Some(Path::new("/a/b")));
        let name = partial.file_name().expect("has one").to_string_lossy().into_owned();
        assert!(name.starts_with(".kelp.jpg.") && name.ends_with(".partial"), "{name}");
    }

    #[test]
    fn a_wrong_checksum_is_told() {
        let from = Remote {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
        };
        let expected = Expected {
            bytes: Some(9),
            etag: None,
            mtime: None,
            crc: Some("rosUhgp5mIg=".to_owned()),
        };
        assert_eq!(expected.check(&from, 9, 0xae8b_1486_0a79_9888), Ok(9));
        assert!(
            expected
                .check(&from, 9, 1)
                .expect_err("differs")
                .what
                .contains("damaged")
        );
    }
}
