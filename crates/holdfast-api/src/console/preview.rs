//! Objects shown within the console's pages, by elements that can carry no header: images, sound, moving pictures, documents.
//!
//! The path leads to the same read as `/v1/buckets/{bucket}/objects/{key}`. What comes back is whatever somebody stored, so it
//! is defused: it may load nothing, run nothing, is nobody's origin (`sandbox`), is never guessed to be of another kind, and
//! what is not of a kind that is only looked at becomes a download.

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{PathAndQuery, Uri};

/// Where elements read.
pub(crate) const PATH: &str = "/console/preview/";

/// A request that was made by an element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Preview {
    /// To look at.
    Shown,
    /// To keep.
    Download,
}

/// The read that a preview stands for.
pub(crate) fn read(uri: &Uri) -> Option<(Uri, Preview)> {
    let target = uri.path().strip_prefix(PATH)?;
    let (bucket, key) = target.split_once('/')?;
    let (mut sibling, mut how) = (None, Preview::Shown);
    for field in uri.query().unwrap_or_default().split('&') {
        match field.split_once('=') {
            Some(("sibling", dot)) => sibling = Some(dot),
            _ if field == "download" => how = Preview::Download,
            _ => {}
        }
    }
    let mut path = format!("/v1/buckets/{bucket}/objects/{key}");
    if let Some(dot) = sibling {
        path.push_str("?sibling=");
        path.push_str(dot);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Some((Uri::from_parts(parts).ok()?, how))
}

/// Kinds that are looked at. Nothing in them runs, or `sandbox` keeps it from running.
const SHOWN: [&str; 21] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "image/svg+xml",
    "image/x-icon",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/x-wav",
    "audio/mp4",
    "audio/flac",
    "audio/webm",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "text/plain",
    PDF,
];

/// Browsers show documents in a viewer of their own, which `sandbox` would keep from starting in some. What a document carries may
/// run there, out of reach of our pages, but not out of reach of a dialog: the console starts it only when asked to.
const PDF: &str = "application/pdf";

/// Makes an answer harmless.
pub(crate) fn defuse(headers: &mut HeaderMap, how: Preview) {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    let shown = SHOWN.iter().find(|known| **known == kind).copied();
    let policy = if shown == Some(PDF) {
        "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'self'"
    } else {
        "sandbox; default-src 'none'; img-src data:; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"
    };
    let disposition = match (how, shown) {
        (Preview::Shown, Some(_)) => "inline",
        _ => "attachment",
    };
    if shown.is_none() {
        let raw = HeaderValue::from_static("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, raw);
    }
    for (name, value) in [
        ("content-security-policy", policy),
        ("content-disposition", disposition),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "private, no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderValue};

    use super::{Preview, defuse, read};

    #[test]
    fn a_preview_is_a_read_of_the_same_key() {
        let uri = |text: &str| text.parse().unwrap();
        let (to, how) = read(&uri("/console/preview/photos/a%20b/c.png?sibling=1-2-3")).unwrap();
        assert_eq!(to, "/v1/buckets/photos/objects/a%20b/c.png?sibling=1-2-3");
        assert_eq!(how, Preview::Shown);
        let (to, how) = read(&uri("http://x/console/preview/photos/c?download")).unwrap();
        assert_eq!((to.path(), how), ("/v1/buckets/photos/objects/c", Preview::Download));
        assert_eq!(to.query(), None);
        for other in [
            "/console/preview/photos",
            "/v1/buckets/a/objects/b",
            "/console/preview/",
        ] {
            assert!(read(&uri(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn what_could_run_is_kept_and_not_shown() {
        let after = |kind: &'static str, how| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static(kind));
            headers.insert(
                "content-disposition",
                HeaderValue::from_static("inline; filename=x.html"),
            );
            defuse(&mut headers, how);
            let text = |name: &str| headers[name].to_str().unwrap().to_owned();
            assert_eq!(text("x-content-type-options"), "nosniff");
            (
                text("content-type"),
                text("content-disposition"),
                text("content-security-policy"),
            )
        };
        for kind in [
            "text/html",
            "application/xhtml+xml",
            "text/xml",
            "application/javascript",
            "",
            "x",
        ] {
            let (kind, disposition, policy) = after(kind, Preview::Shown);
            assert_eq!(
                (kind.as_str(), disposition.as_str()),
                ("application/octet-stream", "attachment")
            );
            assert!(policy.starts_with("sandbox;"), "{policy}");
        }
        let (kind, disposition, policy) = after("image/svg+xml; charset=utf-8", Preview::Shown);
        assert_eq!(
            (kind.as_str(), disposition.as_str()),
            ("image/svg+xml; charset=utf-8", "inline")
        );
        assert!(policy.starts_with("sandbox;"), "{policy}");
        assert_eq!(after("image/png", Preview::Download).1, "attachment");
        let (_, _, policy) = after("application/pdf", Preview::Shown);
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("sandbox"),
            "{policy}"
        );
    }
}
