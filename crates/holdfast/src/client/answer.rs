//! S3's answers turned into words: which failure, what to do, whether anything changed.
//!
//! Also the few pieces of XML that rusty-s3 does not read: error bodies and the list of buckets. Both are flat, so
//! finding elements by name is enough; what is inside is unescaped.

use reqwest::{Response, Url};

use crate::client::connection::chain;
use crate::client::s3::Call;
use crate::failure::{Exit, Failure, State};

/// Error bodies are short; one that is not is not read to its end.
const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;

/// A failure from an answer that is not a success.
pub async fn from_response(response: Response, call: &Call<'_>, may_have_happened: bool) -> Failure {
    let status = response.status().as_u16();
    let body = read_some(response).await;
    let code = element(&body, "Code").unwrap_or_else(|| status_code(status).to_owned());
    let message = element(&body, "Message").unwrap_or_default();
    let failure = explain(&code, &message, call);
    // A 5xx to a write may have been given after some nodes took it.
    if call.writes() && (may_have_happened || status >= 500) && code != "NotImplemented" {
        return failure.state(State::Unknown);
    }
    failure
}

/// A failure from a connection that could not be made or broke.
pub fn from_transport(error: &reqwest::Error, endpoints: &[Url], may_have_happened: bool) -> Failure {
    let tried: Vec<String> = endpoints
        .iter()
        .map(|url| url.as_str().trim_end_matches('/').to_owned())
        .collect();
    let state = if may_have_happened {
        State::Unknown
    } else {
        State::Unchanged
    };
    let cause = chain(error);
    let (what, advice) = if cause.contains("certificate") || cause.contains("UnknownIssuer") {
        (
            "the certificate is not trusted",
            "name the cluster's CA with --ca-bundle FILE or AWS_CA_BUNDLE",
        )
    } else if error.is_timeout() {
        (
            "no answer in time",
            "check that the node is alive (`holdfast cluster status`) and not frozen",
        )
    } else {
        (
            "no node could be reached",
            "check that the cluster runs (`holdfast dev status`) and that the endpoint is right",
        )
    };
    let what = format!("{what}: {} ({cause})", tried.join(", "));
    Failure::new(what, advice).exit(Exit::Unavailable).state(state)
}

/// A failure for an answer that makes no sense.
pub fn unreadable(what: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("the answer to {what} could not be read: {why}"),
        "check that the endpoint is that of the S3 port of a Holdfast node",
    )
}

/// The text of the first element of this name, unescaped.
pub fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).next()
}

/// The texts of all elements of this name, in order. For elements that contain no elements of the same name.
pub fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = String> + 'a {
    let open = format!("<{name}>");
    let close = format!("</{name}>");
    let mut rest = xml;
    std::iter::from_fn(move || {
        let from = rest.find(&open)? + open.len();
        let to = from + rest[from..].find(&close)?;
        let text = unescape(&rest[from..to]);
        rest = &rest[to..];
        Some(text)
    })
}

fn unescape(text: &str) -> String {
    // `&amp;` last, or `&amp;lt;` would become `<`.
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

async fn read_some(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() > ERROR_BODY_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

/// HEAD has no body; the status then says what the code would.
fn status_code(status: u16) -> &'static str {
    match status {
        403 => "AccessDenied",
        404 => "NotFound",
        409 => "Conflict",
        412 => "PreconditionFailed",
        416 => "InvalidRange",
        501 => "NotImplemented",
        503 => "ServiceUnavailable",
        _ => "UnexpectedAnswer",
    }
}

fn place(call: &Call<'_>) -> String {
    match (call.bucket, call.key) {
        (Some(bucket), Some(key)) => format!("hf://{bucket}/{key}"),
        (Some(bucket), None) => format!("hf://{bucket}"),
        (None, _) => "the cluster".to_owned(),
    }
}

/// The one table of what each code means to a person.
fn explain(code: &str, message: &str, call: &Call<'_>) -> Failure {
    let at = place(call);
    let bucket = call.bucket.unwrap_or_default();
    match code {
        "NoSuchBucket" => Failure::new(
            format!("bucket {bucket} does not exist"),
            format!("create it with `holdfast mb hf://{bucket}`, or see what there is with `holdfast ls`"),
        )
        .exit(Exit::NotFound),
        "NoSuchKey" | "NotFound" if call.key.is_some() => Failure::new(
            format!("{at} does not exist"),
            format!("see what there is with `holdfast ls hf://{bucket}/`"),
        )
        .exit(Exit::NotFound),
        "NotFound" => {
            Failure::new(format!("{at} does not exist"), "see what there is with `holdfast ls`").exit(Exit::NotFound)
        }
        "NoSuchUpload" => Failure::new(format!("the upload to {at} is gone"), "start the copy again"),
        "BucketNotEmpty" => Failure::new(
            format!("bucket {bucket} is not empty"),
            format!("remove what is in it: `holdfast rm -r hf://{bucket}`, or `holdfast rb --force hf://{bucket}`"),
        ),
        "BucketAlreadyOwnedByYou" | "BucketAlreadyExists" => Failure::new(
            format!("bucket {bucket} exists already"),
            "use it, or choose another name",
        ),
        "InvalidBucketName" => Failure::usage(
            format!("{bucket} is not a valid bucket name"),
            "use 3 to 63 of a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit",
        ),
        "InvalidAccessKeyId" => Failure::new(
            "the cluster does not know this access key",
            "check AWS_ACCESS_KEY_ID; `holdfast key list` shows the keys there are",
        )
        .exit(Exit::Denied),
        "SignatureDoesNotMatch" => Failure::new(
            "the secret does not belong to this access key, or the region differs",
            "check AWS_SECRET_ACCESS_KEY and AWS_REGION",
        )
        .exit(Exit::Denied),
        "RequestTimeTooSkewed" => Failure::new(
            "this machine's clock and the cluster's differ by more than 15 minutes",
            "set the clock (for example with timedatectl set-ntp true)",
        )
        .exit(Exit::Denied),
        "AccessDenied" => Failure::new(
            format!("access to {at} was denied{}", reason(message)),
            "check that the key is enabled: `holdfast key list`",
        )
        .exit(Exit::Denied),
        "SlowDown" | "ServiceUnavailable" => Failure::new(
            format!("the cluster cannot serve {at} now{}", reason(message)),
            "see which nodes are down with `holdfast cluster status`, and try again",
        )
        .exit(Exit::Unavailable),
        "NotImplemented" => Failure::new(
            format!("the cluster cannot do this yet{}", reason(message)),
            "see README.md for what is built",
        ),
        "BadDigest" | "XAmzContentChecksumMismatch" => Failure::new(
            format!("the bytes of {at} were damaged on the way{}", reason(message)),
            "try again",
        ),
        _ => Failure::new(
            format!("{at}: {code}{}", reason(message)),
            "look the code up in the S3 documentation, or in the node's log",
        ),
    }
}

fn reason(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {}", message.trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use rusty_s3::Method;

    use super::*;

    #[test]
    fn elements_are_found_and_unescaped() {
        let xml = "<R><Name>a&amp;lt;b</Name><Other/><Name>c</Name><Name>cut off";
        assert_eq!(elements(xml, "Name").collect::<Vec<_>>(), ["a&lt;b", "c"]);
        assert_eq!(element(xml, "Code"), None);
    }

    #[test]
    fn codes_become_advice() {
        let call = Call::object(Method::Get, "photos", "kelp.jpg");
        let missing = explain("NoSuchKey", "", &call);
        assert_eq!(
            (missing.exit, missing.what.as_str()),
            (Exit::NotFound, "hf://photos/kelp.jpg does not exist")
        );
        let head = explain("NotFound", "", &Call::bucket(Method::Head, "photos"));
        assert_eq!(head.what, "hf://photos does not exist");
        let odd = explain("OddThing", "It broke.", &call);
        assert_eq!(odd.what, "hf://photos/kelp.jpg: OddThing: It broke");
    }
}
