//! `cp`: between here and the cluster, and within the cluster; one object or a tree.
//!
//! Recursive copies map what is below the source to what is below the target: `cp -r photos hf://b/2026` stores
//! `photos/a/kelp.jpg` as `2026/a/kelp.jpg`. Several files move at once; the number of requests at a time, and so the
//! memory, is bounded by `--parallel` whatever is copied.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rusty_s3::Method;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::connection::S3Args;
use crate::client::download::{to_file, to_writer};
use crate::client::list::page;
use crate::client::place::{Place, Remote, check_key};
use crate::client::print::Printer;
use crate::client::progress::Progress;
use crate::client::s3::{Call, S3};
use crate::client::upload::Uploader;
use crate::failure::{Failure, State, local};
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
    /// Requests at a time; each holds one part (8 MiB and more) in memory when uploading
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub parallel: u32,
    /// Content-Type to store; guessed from the name when not given
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// No progress bar, and nothing said of each file
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub s3: S3Args,
}

/// What a copy runs with.
struct Copier {
    s3: Arc<S3>,
    slots: Arc<Semaphore>,
    parallel: usize,
    content_type: Option<String>,
    quiet: bool,
    out: Printer,
}

/// One file that was copied.
struct Copied {
    from: String,
    to: String,
    bytes: u64,
}

/// Runs `cp`.
pub async fn run(cp: Cp, json: bool) -> Result<(), Failure> {
    let mut copier = Copier {
        s3: Arc::new(S3::from_args(&cp.s3)?),
        slots: Arc::new(Semaphore::new(cp.parallel as usize)),
        parallel: cp.parallel as usize,
        content_type: cp.content_type,
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
            to_writer(&copier.s3, &from, &mut tokio::io::stdout(), &Progress::hidden()).await?;
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
    fn uploader(&self, progress: &Progress) -> Uploader {
        Uploader {
            s3: Arc::clone(&self.s3),
            slots: Arc::clone(&self.slots),
            progress: progress.clone(),
        }
    }

    fn progress(&self, what: &str, bytes: Option<u64>) -> Progress {
        Progress::new(what, bytes, self.quiet || self.out.is_json())
    }

    fn tell(&mut self, copied: &Copied) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        let Copied { from, to, bytes } = copied;
        let text = format!("{from} -> {to}  {}", show_bytes(*bytes));
        self.out
            .line(text, || json!({ "from": from, "to": to, "bytes": bytes }))
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
        let done = put_one(self.uploader(&progress), from, &to, self.content_type.as_deref()).await;
        progress.finish();
        self.tell(&done?)
    }

    async fn put_stdin(&mut self, to: &Remote) -> Result<(), Failure> {
        to.object()?;
        let progress = self.progress(&to.key, None);
        let mut source = tokio::io::stdin();
        let done = self
            .uploader(&progress)
            .upload(&mut source, None, to, self.content_type.as_deref())
            .await;
        progress.finish();
        self.tell(&Copied {
            from: "-".to_owned(),
            to: to.to_string(),
            bytes: done?.bytes,
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
            total += file_size(&file)?;
            jobs.push((file, to.with_key(key)));
        }
        let progress = self.progress(&format!("{} files", jobs.len()), Some(total));
        let (uploader, content_type) = (self.uploader(&progress), self.content_type.clone());
        let done = self
            .each(jobs, move |(file, to)| {
                let (uploader, content_type) = (uploader.clone(), content_type.clone());
                async move { put_one(uploader, &file, &to, content_type.as_deref()).await }
            })
            .await;
        progress.finish();
        done
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
        let done = get_one(Arc::clone(&self.s3), from, &to, &progress).await;
        progress.finish();
        self.tell(&done?)
    }

    async fn get_tree(&mut self, from: &Remote, to: &Path) -> Result<(), Failure> {
        let base = as_folder(&from.key);
        let place = from.with_key(base.clone());
        let mut after: Option<String> = None;
        let mut found = false;
        loop {
            let page = page(&self.s3, &place, "", after.as_deref()).await?;
            let mut jobs = Vec::new();
            let mut total = 0;
            // A key that ends in a slash is how consoles mark an empty folder; there is no file to make of it.
            for entry in page.entries.into_iter().filter(|entry| !entry.key.ends_with('/')) {
                total += entry.size;
                jobs.push((from.with_key(entry.key.clone()), to.join(below(&base, &entry.key)?)));
            }
            found |= !jobs.is_empty();
            let progress = self.progress(&format!("{} objects", jobs.len()), Some(total));
            let (s3, shown) = (Arc::clone(&self.s3), progress.clone());
            let done = self
                .each(jobs, move |(from, to)| {
                    let (s3, shown) = (Arc::clone(&s3), shown.clone());
                    async move { get_one(s3, &from, &to, &shown).await }
                })
                .await;
            progress.finish();
            done?;
            after = page.next;
            if after.is_none() {
                return if found { Ok(()) } else { Err(nothing_below(&place)) };
            }
        }
    }

    async fn copy_object(&mut self, from: &Remote, to: &Remote) -> Result<(), Failure> {
        let to = named(to, from.object()?.rsplit('/').next())?;
        let done = copy_one(Arc::clone(&self.s3), from.clone(), to).await?;
        self.tell(&done)
    }

    async fn copy_tree(&mut self, from: &Remote, to: &Remote) -> Result<(), Failure> {
        let base = as_folder(&from.key);
        let place = from.with_key(base.clone());
        let mut after: Option<String> = None;
        loop {
            let page = page(&self.s3, &place, "", after.as_deref()).await?;
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
            let s3 = Arc::clone(&self.s3);
            self.each(jobs, move |(from, to)| copy_one(Arc::clone(&s3), from, to))
                .await?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Runs jobs, a few at a time, and tells of each as it ends. The first failure ends the copy once those under way
    /// have ended.
    async fn each<J, F, W>(&mut self, jobs: Vec<J>, mut work: F) -> Result<(), Failure>
    where
        F: FnMut(J) -> W,
        W: Future<Output = Result<Copied, Failure>> + Send + 'static,
    {
        let mut jobs = jobs.into_iter();
        let mut under_way = JoinSet::new();
        let mut failed = None;
        let mut copied = 0_u64;
        loop {
            while under_way.len() < self.parallel && failed.is_none() {
                let Some(job) = jobs.next() else { break };
                under_way.spawn(work(job));
            }
            match under_way.join_next().await {
                None => break,
                Some(Ok(Ok(done))) => {
                    copied += 1;
                    self.tell(&done)?;
                }
                Some(Ok(Err(failure))) => failed = failed.or(Some(failure)),
                Some(Err(error)) => {
                    failed = failed.or_else(|| Some(Failure::new(format!("a copy was lost: {error}"), "copy again")));
                }
            }
        }
        match failed {
            None => Ok(()),
            Some(failure) if copied == 0 => Err(failure),
            Some(failure) => Err(failure.state(State::Partly(format!("{copied} of the files were copied before")))),
        }
    }
}

async fn put_one(uploader: Uploader, from: &Path, to: &Remote, content_type: Option<&str>) -> Result<Copied, Failure> {
    let cannot = |error| local(format!("{} cannot be read", from.display()), &error);
    let mut file = tokio::fs::File::open(from).await.map_err(cannot)?;
    let size = file.metadata().await.map_err(cannot)?.len();
    let content_type = content_type.or_else(|| guess_type(from));
    let uploaded = uploader.upload(&mut file, Some(size), to, content_type).await?;
    Ok(Copied {
        from: from.display().to_string(),
        to: to.to_string(),
        bytes: uploaded.bytes,
    })
}

async fn get_one(s3: Arc<S3>, from: &Remote, to: &Path, progress: &Progress) -> Result<Copied, Failure> {
    let bytes = to_file(&s3, from, to, progress).await?;
    Ok(Copied {
        from: from.to_string(),
        to: to.display().to_string(),
        bytes,
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
        bytes: bytes.unwrap_or_default(),
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

/// A prefix as a folder: with a slash at its end, unless it is empty.
fn as_folder(key: &str) -> String {
    if key.is_empty() || key.ends_with('/') {
        key.to_owned()
    } else {
        format!("{key}/")
    }
}

fn join_key(prefix: &str, rest: &str) -> String {
    format!("{}{rest}", as_folder(prefix))
}

/// The path of a file below its tree, as a key.
fn key_of(path: &Path) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for part in path.components() {
        let Component::Normal(part) = part else { continue };
        let part = part.to_str().ok_or_else(|| {
            Failure::usage(
                format!("the name of {} is not UTF-8", path.display()),
                "rename it: keys are UTF-8",
            )
        })?;
        parts.push(part);
    }
    Ok(parts.join("/"))
}

/// Where below the target directory a key goes; never outside of it, whatever the key says.
fn below(base: &str, key: &str) -> Result<PathBuf, Failure> {
    let rest = key.strip_prefix(base).unwrap_or(key);
    let path = Path::new(rest);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || rest.is_empty() || rest.contains('\0') {
        return Err(Failure::new(
            format!("the key `{key}` is no path below the target directory"),
            "copy it by itself, to a name of your choice",
        ));
    }
    Ok(path.to_owned())
}

fn file_size(path: &Path) -> Result<u64, Failure> {
    let found = std::fs::metadata(path).map_err(|error| local(format!("{} cannot be read", path.display()), &error))?;
    if found.is_dir() {
        return Err(Failure::usage(
            format!("{} is a directory", path.display()),
            "add -r to copy everything in it",
        ));
    }
    Ok(found.len())
}

/// All files below a directory, in order. Symbolic links to files are followed, those to directories are not: they may
/// lead in circles.
fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let cannot = |error| local(format!("{} cannot be read", directory.display()), &error);
    let mut entries: Vec<_> = std::fs::read_dir(directory)
        .map_err(cannot)?
        .collect::<Result<_, _>>()
        .map_err(cannot)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().map_err(cannot)?.is_dir() {
            walk(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
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
    fn trees_keep_their_shape() {
        assert_eq!(join_key("2026", "a/kelp.jpg"), "2026/a/kelp.jpg");
        assert_eq!(join_key("2026/", "kelp.jpg"), "2026/kelp.jpg");
        assert_eq!(join_key("", "kelp.jpg"), "kelp.jpg");
        assert_eq!(key_of(Path::new("./a/kelp.jpg")).expect("utf-8"), "a/kelp.jpg");
    }

    #[test]
    fn no_key_leaves_the_target_directory() {
        assert_eq!(below("x/", "x/a/b").expect("inside"), Path::new("a/b"));
        for key in [
            "x/../../etc/passwd",
            "x//etc/passwd",
            "x/",
            "/etc/passwd",
            "x/./a/../b",
            "x/a\0b",
        ] {
            assert!(below("x/", key).is_err(), "{key}");
        }
    }

    #[test]
    fn copy_sources_are_encoded() {
        assert_eq!(encode_path("a b/ü+%"), "a%20b/%C3%BC%2B%25");
    }
}
