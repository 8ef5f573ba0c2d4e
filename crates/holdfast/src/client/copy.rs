//! `cp`: between here and the cluster, and within the cluster; one object or a tree.
//!
//! Recursive copies map what is below the source to what is below the target: `cp -r photos hf://b/2026` stores
//! `photos/a/kelp.jpg` as `2026/a/kelp.jpg`. Several files move at once; the number of requests at a time, and so the
//! memory, is bounded by `--parallel` whatever is copied. How one file moves is `mover.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rusty_s3::Method;
use serde_json::json;

use crate::client::connection::S3Args;
use crate::client::direct::download::Wanted;
use crate::client::direct::{DirectArgs, Moved};
use crate::client::download::to_writer;
use crate::client::list::page;
use crate::client::mover::{self, Mover};
use crate::client::place::{Place, Remote, check_key};
use crate::client::print::Printer;
use crate::client::progress::{Bars, Progress};
use crate::client::s3::{Call, S3};
use crate::client::tree::{as_folder, below, file_size, join_key, key_of, walk};
use crate::client::upload::About;
use crate::failure::Failure;
use crate::quantity::show_bytes;

/// Copy files into, out of and within the cluster
#[derive(Args, Debug)]
pub struct Cp {
    /// A path, `-` for standard input, or hf://BUCKET/KEY
    pub from: Place,
    /// A path, `-` for standard output, or hf://BUCKET/KEY; one that ends in `/` keeps the source's name
    pub to: Place,
    /// Everything below a directory or prefix
    #[arg(short, long)]
    pub recursive: bool,
    /// Requests at a time; each holds one part or piece (4 to 8 MiB) in memory
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub parallel: u32,
    /// Content-Type to store; guessed from the name when not given
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// No progress bar, and nothing said of each file
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub direct: DirectArgs,
    #[command(flatten)]
    pub s3: S3Args,
}

/// What a copy runs with.
struct Copier {
    mover: Mover,
    quiet: bool,
    out: Printer,
}

/// One file that was copied.
struct Copied {
    from: String,
    to: String,
    moved: Moved,
}

/// Runs `cp`.
pub async fn run(cp: Cp, json: bool) -> Result<(), Failure> {
    let mut copier = Copier {
        mover: Mover::open(&cp.s3, &cp.direct, cp.parallel, cp.content_type)?,
        quiet: cp.quiet,
        out: Printer::new(json),
    };
    match (cp.from, cp.to, cp.recursive) {
        (Place::Local(from), Place::Remote(to), false) => copier.put_file(&from, &to).await?,
        (Place::Local(from), Place::Remote(to), true) => copier.put_tree(&from, &to).await?,
        (Place::Stdio, Place::Remote(to), _) => copier.put_stdin(&to).await?,
        (Place::Remote(from), Place::Local(to), false) => copier.get_file(&from, &to).await?,
        (Place::Remote(from), Place::Local(to), true) => copier.get_tree(&from, &to).await?,
        (Place::Remote(from), Place::Stdio, _) => {
            to_writer(&copier.mover.s3, &from, &mut tokio::io::stdout(), &Progress::hidden()).await?;
            return Ok(());
        }
        (Place::Remote(from), Place::Remote(to), false) => copier.copy_object(&from, &to).await?,
        (Place::Remote(from), Place::Remote(to), true) => copier.copy_tree(&from, &to).await?,
        (Place::Local(_) | Place::Stdio, Place::Local(_) | Place::Stdio, _) => {
            return Err(Failure::usage(
                "neither end of the copy is in the cluster",
                "write one as hf://BUCKET/KEY",
            ));
        }
    }
    copier.out.finish()
}

impl Copier {
    fn progress(&self, what: &str, bytes: Option<u64>) -> Progress {
        Progress::new(what, bytes, self.quiet || self.out.is_json())
    }

    fn bars(&self, what: &str, bytes: u64) -> Bars {
        Bars::new(what, bytes, self.quiet || self.out.is_json())
    }

    fn tell(&mut self, copied: &Copied) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        let Copied { from, to, moved } = copied;
        let again = if moved.resumed > 0 {
            format!(", {} of it before", show_bytes(moved.resumed))
        } else {
            String::new()
        };
        let text = format!("{from} -> {to}  {}{again}", show_bytes(moved.bytes));
        self.out.line(text, || {
            let mut told = json!({ "from": from, "to": to, "checked": moved.checked });
            told["via"] = if moved.nodes.is_empty() { "one node" } else { "nodes" }.into();
            for (name, value) in moved.told().as_object().into_iter().flatten() {
                told[name] = value.clone();
            }
            told
        })
    }

    /// What a tree came to.
    fn sum_up(&mut self, files: u64, sum: &Moved) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        let text = format!("{files} files, {}", show_bytes(sum.bytes));
        self.out.line(text, || {
            let mut told = sum.told();
            told["files"] = files.into();
            json!({ "summary": told })
        })
    }

    async fn put_file(&mut self, from: &Path, to: &Remote) -> Result<(), Failure> {
        let to = named(
            to,
            from.file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .as_deref(),
        )?;
        let size = file_size(from)?;
        let progress = self.progress(&to.key, Some(size));
        let done = put_one(self.mover.clone(), from.to_owned(), to, progress.clone()).await;
        progress.finish();
        self.tell(&done?)
    }

    async fn put_stdin(&mut self, to: &Remote) -> Result<(), Failure> {
        to.object()?;
        let progress = self.progress(&to.key, None);
        let mut source = tokio::io::stdin();
        let about = About {
            content_type: self.mover.content_type.as_deref(),
            mtime: None,
        };
        let uploader = self.mover.uploader(&progress);
        let done = uploader.upload(&mut source, None, to, &about).await;
        progress.finish();
        self.tell(&Copied {
            from: "-".to_owned(),
            to: to.to_string(),
            moved: Moved::through_one(done?.bytes, "crc64nvme"),
        })
    }

    async fn put_tree(&mut self, from: &Path, to: &Remote) -> Result<(), Failure> {
        let mut files = Vec::new();
        walk(from, &mut files)?;
        let mut jobs = Vec::new();
        let mut total = 0;
        for file in files {
            let below = file.strip_prefix(from).unwrap_or(&file);
            let key = join_key(&to.key, &key_of(below)?);
            check_key(&key)
                .map_err(|why| Failure::usage(format!("{} cannot be stored: {why}", file.display()), "rename it"))?;
            let size = file_size(&file)?;
            total += size;
            jobs.push((file, to.with_key(key), size));
        }
        let bars = self.bars(&format!("{} files", jobs.len()), total);
        let (mover, shown) = (self.mover.clone(), bars.clone());
        let work = move |(file, to, size): (PathBuf, Remote, u64)| {
            let progress = shown.file(&to.key, size);
            put_one(mover.clone(), file, to, progress)
        };
        let mut sum = (0, Moved::default());
        let done = self.each(jobs, work, &bars, &mut sum).await;
        bars.finish();
        done?;
        self.sum_up(sum.0, &sum.1)
    }

    async fn get_file(&mut self, from: &Remote, to: &Path) -> Result<(), Failure> {
        let name = from
            .object()?
            .rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or("object")
            .to_owned();
        let into_directory = to.is_dir() || to.as_os_str().to_string_lossy().ends_with('/');
        let to = if into_directory { to.join(name) } else { to.to_owned() };
        let progress = self.progress(&from.key, None);
        let done = get_one(self.mover.clone(), from.clone(), to, None, progress.clone()).await;
        progress.finish();
        self.tell(&done?)
    }

    async fn get_tree(&mut self, from: &Remote, to: &Path) -> Result<(), Failure> {
        let base = as_folder(&from.key);
        let place = from.with_key(base.clone());
        let mut after: Option<String> = None;
        let mut sum = (0, Moved::default());
        loop {
            let page = page(&self.mover.s3, &place, "", after.as_deref()).await?;
            let mut jobs = Vec::new();
            let mut total = 0;
            // A key that ends in a slash is how consoles mark an empty folder; there is no file to make of it.
            for entry in page.entries.into_iter().filter(|entry| !entry.key.ends_with('/')) {
                total += entry.size;
                let to = to.join(below(&base, &entry.key)?);
                let wanted = Wanted {
                    size: entry.size,
                    etag: entry.etag,
                };
                jobs.push((from.with_key(entry.key), to, wanted));
            }
            let bars = self.bars(&format!("{} objects", jobs.len()), total);
            let (mover, shown) = (self.mover.clone(), bars.clone());
            let work = move |(from, to, wanted): (Remote, PathBuf, Wanted)| {
                let progress = shown.file(&from.key, wanted.size);
                get_one(mover.clone(), from, to, Some(wanted), progress)
            };
            let done = self.each(jobs, work, &bars, &mut sum).await;
            bars.finish();
            done?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if sum.0 == 0 {
            return Err(nothing_below(&place));
        }
        self.sum_up(sum.0, &sum.1)
    }

    async fn copy_object(&mut self, from: &Remote, to: &Remote) -> Result<(), Failure> {
        let to = named(to, from.object()?.rsplit('/').next())?;
        let done = copy_one(Arc::clone(&self.mover.s3), from.clone(), to).await?;
        self.tell(&done)
    }

    async fn copy_tree(&mut self, from: &Remote, to: &Remote) -> Result<(), Failure> {
        let base = as_folder(&from.key);
        let place = from.with_key(base.clone());
        let mut after: Option<String> = None;
        let mut sum = (0, Moved::default());
        loop {
            let page = page(&self.mover.s3, &place, "", after.as_deref()).await?;
            let jobs: Vec<_> = page
                .entries
                .into_iter()
                .map(|entry| {
                    (
                        from.with_key(&entry.key),
                        to.with_key(join_key(&to.key, &entry.key[base.len()..])),
                    )
                })
                .collect();
            let s3 = Arc::clone(&self.mover.s3);
            let work = move |(from, to)| copy_one(Arc::clone(&s3), from, to);
            self.each(jobs, work, &Bars::hidden(), &mut sum).await?;
            after = page.next;
            if after.is_none() {
                return self.sum_up(sum.0, &sum.1);
            }
        }
    }

    /// Runs jobs, a few at a time, tells of each as it ends, and counts them.
    async fn each<J, F, W>(&mut self, jobs: Vec<J>, work: F, bars: &Bars, sum: &mut (u64, Moved)) -> Result<(), Failure>
    where
        F: FnMut(J) -> W,
        W: Future<Output = Result<Copied, Failure>> + Send + 'static,
    {
        let parallel = self.mover.parallel;
        let tell = |copied: Copied| {
            sum.0 += 1;
            sum.1.add(&copied.moved);
            bars.aside(|| self.tell(&copied))
        };
        mover::each(jobs, parallel, work, tell).await
    }
}

async fn put_one(mover: Mover, from: PathBuf, to: Remote, progress: Progress) -> Result<Copied, Failure> {
    let moved = mover.put(&from, &to, &progress).await;
    progress.finish();
    Ok(Copied {
        from: from.display().to_string(),
        to: to.to_string(),
        moved: moved?,
    })
}

async fn get_one(
    mover: Mover,
    from: Remote,
    to: PathBuf,
    known: Option<Wanted>,
    progress: Progress,
) -> Result<Copied, Failure> {
    let moved = mover.get(&from, &to, known, &progress).await;
    progress.finish();
    Ok(Copied {
        from: from.to_string(),
        to: to.display().to_string(),
        moved: moved?,
    })
}

async fn copy_one(s3: Arc<S3>, from: Remote, to: Remote) -> Result<Copied, Failure> {
    let source = format!("/{}/{}", from.bucket, encode_path(from.object()?));
    let call = Call::object(Method::Put, &to.bucket, to.object()?).header("x-amz-copy-source", source);
    s3.send(call).await?;
    let head = s3.send(Call::object(Method::Head, &to.bucket, &to.key)).await?;
    let bytes = head
        .headers()
        .get("content-length")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Copied {
        from: from.to_string(),
        to: to.to_string(),
        moved: Moved {
            bytes: bytes.unwrap_or_default(),
            ..Moved::default()
        },
    })
}

/// The target of a copy of one thing: a bucket or a key that ends in `/` takes the source's name.
fn named(to: &Remote, name: Option<&str>) -> Result<Remote, Failure> {
    if !to.key.is_empty() && !to.key.ends_with('/') {
        return Ok(to.clone());
    }
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
        Failure::usage(
            format!("{to} names no object, and the source has no name"),
            "write hf://BUCKET/KEY",
        )
    })?;
    Ok(to.with_key(format!("{}{name}", to.key)))
}

fn nothing_below(place: &Remote) -> Failure {
    Failure::new(
        format!("nothing begins with {place}"),
        format!("see what there is with `holdfast ls hf://{}`", place.bucket),
    )
    .exit(crate::failure::Exit::NotFound)
}

/// A key in a header that is itself a URL path.
fn encode_path(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(key: &str) -> Remote {
        Remote {
            bucket: "b".to_owned(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn folders_take_the_sources_name() {
        assert_eq!(named(&remote(""), Some("kelp.jpg")).expect("named").key, "kelp.jpg");
        assert_eq!(
            named(&remote("2026/"), Some("kelp.jpg")).expect("named").key,
            "2026/kelp.jpg"
        );
        assert_eq!(named(&remote("2026"), Some("kelp.jpg")).expect("named").key, "2026");
        assert!(named(&remote(""), None).is_err());
    }

    #[test]
    fn copy_sources_are_encoded() {
        assert_eq!(encode_path("a b/ü+%"), "a%20b/%C3%BC%2B%25");
    }
}
