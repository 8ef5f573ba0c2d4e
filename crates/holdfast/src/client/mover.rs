//! One file, in or out: straight to or from the nodes that hold it where it is large and that is possible, through one node
//! where not. `cp` and `sync` decide what is moved; this is how.

use std::path::Path;
use std::sync::Arc;

use rusty_s3::Method;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::connection::S3Args;
use crate::client::direct::download::{self, Wanted};
use crate::client::direct::resume::SourceState;
use crate::client::direct::{DIRECT_BYTES_MIN, Direct, DirectArgs, Moved, Outcome, upload};
use crate::client::download::to_file;
use crate::client::place::Remote;
use crate::client::progress::Progress;
use crate::client::s3::{Call, S3};
use crate::client::upload::{About, Uploader};
use crate::failure::{Failure, State, local};

/// What moves files with.
#[derive(Clone)]
pub struct Mover {
    /// The S3 side.
    pub s3: Arc<S3>,
    /// Shared by all files: the number of requests at a time.
    pub slots: Arc<Semaphore>,
    /// That number.
    pub parallel: usize,
    /// Content-Type of everything that is stored; guessed from names when none is given.
    pub content_type: Option<Arc<str>>,
    direct: Option<Arc<Direct>>,
}

impl Mover {
    /// From the flags and the environment.
    pub fn open(
        s3: &S3Args,
        direct: &DirectArgs,
        parallel: u32,
        content_type: Option<String>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            direct: Direct::open(s3, direct)?.map(Arc::new),
            s3: Arc::new(S3::from_args(s3)?),
            slots: Arc::new(Semaphore::new(parallel as usize)),
            parallel: parallel as usize,
            content_type: content_type.map(Arc::from),
        })
    }

    /// What sends bytes over S3.
    pub fn uploader(&self, progress: &Progress) -> Uploader {
        Uploader {
            s3: Arc::clone(&self.s3),
            slots: Arc::clone(&self.slots),
            progress: progress.clone(),
        }
    }

    /// Stores a file, with the time of its last change.
    pub async fn put(&self, from: &Path, to: &Remote, progress: &Progress) -> Result<Moved, Failure> {
        to.object()?;
        let source = SourceState::of(from)?;
        let uploader = self.uploader(progress);
        let (size, mtime) = (source.size, source.mtime.clone());
        let about = About {
            content_type: self.content_type.as_deref().or_else(|| guess_type(from)),
            mtime: Some(&mtime),
        };
        if let Some(direct) = self.direct.clone().filter(|_| size >= DIRECT_BYTES_MIN) {
            let done = upload::from_file(direct, &uploader, self.parallel, source, to, &about).await?;
            if let Outcome::Done(moved) = done {
                return Ok(moved);
            }
        }
        let cannot = |error| local(format!("{} cannot be read", from.display()), &error);
        let mut file = tokio::fs::File::open(from).await.map_err(cannot)?;
        let uploaded = uploader.upload(&mut file, Some(size), to, &about).await?;
        Ok(Moved::through_one(uploaded.bytes, "crc64nvme"))
    }

    /// Brings an object into a file. `known` is what a listing has told of it.
    pub async fn get(
        &self,
        from: &Remote,
        to: &Path,
        known: Option<Wanted>,
        progress: &Progress,
    ) -> Result<Moved, Failure> {
        let Some(direct) = self.direct.clone() else {
            return to_file(&self.s3, from, to, progress).await;
        };
        let wanted = match known {
            Some(wanted) => wanted,
            None => self.head(from).await?,
        };
        progress.expect(Some(wanted.size));
        if wanted.size >= DIRECT_BYTES_MIN {
            let slots = Arc::clone(&self.slots);
            let done = download::to_file(direct, slots, self.parallel, from, &wanted, to, progress).await?;
            if let Outcome::Done(moved) = done {
                return Ok(moved);
            }
        }
        let _slot = self.slots.acquire().await;
        to_file(&self.s3, from, to, progress).await
    }

    async fn head(&self, of: &Remote) -> Result<Wanted, Failure> {
        let response = self
            .s3
            .send(Call::object(Method::Head, &of.bucket, of.object()?))
            .await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        Ok(Wanted {
            size: header("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or_default(),
            etag: header("etag").unwrap_or_default().trim_matches('"').to_owned(),
        })
    }
}

/// Runs jobs, a few at a time, and tells of each as it ends. The first failure ends the copy once those under way have ended.
pub async fn each<J, F, W, T>(
    jobs: Vec<J>,
    parallel: usize,
    mut work: F,
    mut tell: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure>
where
    F: FnMut(J) -> W,
    W: Future<Output = Result<T, Failure>> + Send + 'static,
    T: Send + 'static,
{
    let mut jobs = jobs.into_iter();
    let mut under_way = JoinSet::new();
    let mut failed = None;
    let mut done = 0_u64;
    loop {
        while under_way.len() < parallel && failed.is_none() {
            let Some(job) = jobs.next() else { break };
            under_way.spawn(work(job));
        }
        match under_way.join_next().await {
            None => break,
            Some(Ok(Ok(one))) => {
                done += 1;
                tell(one)?;
            }
            Some(Ok(Err(failure))) => failed = failed.or(Some(failure)),
            Some(Err(error)) => {
                failed = failed.or_else(|| Some(Failure::new(format!("a copy was lost: {error}"), "copy again")));
            }
        }
    }
    match failed {
        None => Ok(()),
        Some(failure) if done == 0 => Err(failure),
        Some(failure) => Err(failure.state(State::Partly(format!("{done} of the files were copied before")))),
    }
}

/// Types that browsers care about, by the name's ending; everything else is left to the cluster's default.
fn guess_type(path: &Path) -> Option<&'static str> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    Some(match ending.as_str() {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "txt" | "md" | "log" => "text/plain",
        "js" | "mjs" => "text/javascript",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "mp4" => "video/mp4",
        "mp3" => "audio/mpeg",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        "wasm" => "application/wasm",
        _ => return None,
    })
}
