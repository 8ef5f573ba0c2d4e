//! The console's files, as they lie in `console/` beside this crate's sources, within the binary.
//!
//! They are served below a path that holds the hash of them all, so that a browser may keep them for ever and never mixes
//! two versions; the page itself is asked for each time and names that path.

use std::sync::OnceLock;

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        /// Name and bytes.
        const FILES: &[(&str, &[u8])] = &[$(($path, include_bytes!(concat!("../../console/", $path)))),*];
    };
}

files![
    "style.css",
    "ring.css",
    "icon.svg",
    "js/main.js",
    "js/api.js",
    "js/dom.js",
    "js/format.js",
    "js/live.js",
    "js/router.js",
    "js/frame.js",
    "js/palette.js",
    "js/notice.js",
    "js/spark.js",
    "js/ring.js",
    "js/lights.js",
    "js/upload.js",
    "js/preview.js",
    "js/share.js",
    "js/pages/signin.js",
    "js/pages/ring.js",
    "js/pages/locate.js",
    "js/pages/buckets.js",
    "js/pages/objects.js",
    "js/pages/object.js",
    "js/pages/nodes.js",
    "js/pages/node.js",
    "js/pages/conflicts.js",
    "js/pages/conflict.js",
    "js/pages/activity.js",
    "js/pages/keys.js",
];

/// The page, which names the others by `{assets}`.
const PAGE: &str = include_str!("../../console/index.html");

/// What the console's pages may load and do: their own files and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      media-src 'self' blob:; frame-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Names this set of files.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(PAGE.as_bytes());
        for (name, bytes) in FILES {
            hasher.update(name.as_bytes());
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        }
        hasher.finalize().to_hex()[..16].to_owned()
    })
}

fn page_text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| PAGE.replace("{assets}", &format!("/console/assets/{}", version())))
}

/// The page, whatever it shows: scripts read the path.
pub(super) fn page(asked: &HeaderMap) -> Response<Body> {
    let tag = format!("\"{}\"", version());
    let is_known = asked
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known == tag.as_str());
    let body = if is_known { "" } else { page_text() };
    let mut answer = Response::new(Body::from(Bytes::from_static(body.as_bytes())));
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    harden(headers);
    answer
}

/// A file. That of another version is not there: its page is reloaded, and asks for this one's.
pub(super) fn file(asked_version: &str, name: &str) -> Option<Response<Body>> {
    let (_, bytes) = FILES.iter().find(|(known, _)| *known == name)?;
    if asked_version != version() {
        return None;
    }
    let mut answer = Response::new(Body::from(Bytes::from_static(bytes)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind_of(name)));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    harden(headers);
    Some(answer)
}

fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{FILES, PAGE, page_text};

    fn found_below(dir: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                found_below(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }

    #[test]
    fn every_file_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        let mut found = Vec::new();
        found_below(&root, &root, &mut found);
        found.retain(|name| name != "index.html");
        let mut listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        found.sort();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }

    #[test]
    fn all_of_it_is_small() {
        let bytes = PAGE.len() + FILES.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        assert!(bytes < 150 * 1024, "{bytes} bytes");
    }

    /// The policy forbids all three; a browser would only say so on its own console.
    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        assert!(!page_text().contains("{assets}"));
        assert!(!PAGE.contains("<style") && !PAGE.contains("style="));
        assert!(PAGE.matches("<script").count() == PAGE.matches("<script type=\"module\" src=").count());
        for (name, bytes) in FILES {
            let text = String::from_utf8_lossy(bytes);
            for line in text.lines().filter(|line| line.contains("://")) {
                assert!(
                    line.contains("www.w3.org") || line.contains("s3://") || line.contains("hf://"),
                    "{name}: {line}"
                );
            }
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{name}");
        }
    }
}
