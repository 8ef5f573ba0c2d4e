//! One signed S3 request and its answer, over any of the endpoints given.
//!
//! Requests are signed in the query (rusty-s3's way), so the body need not be hashed first; its integrity is kept by a
//! CRC64-NVME in a signed header instead. Every request here may be sent twice: reads are reads, and each write carries
//! one invocation id for all its attempts, by which the cluster recognises a retry (rule D7). So a node that dies, or
//! says 503, costs a move to the next endpoint and nothing else.
//!
//! Weak: a URL signature covers no payload hash; over plain HTTP someone in between could replace body and checksum.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Client, Response, Url};
use rusty_s3::{Bucket, Credentials, Method, UrlStyle};

use crate::client::answer::{from_response, from_transport};
use crate::client::connection::{S3Args, http};
use crate::failure::Failure;

/// How long a signed URL is good for: as much as S3 lets clocks differ.
const SIGNATURE_SECONDS: u64 = 900;
/// Attempts when there are fewer endpoints than that.
const ATTEMPTS_MIN: usize = 3;
/// Wait before asking again after 500, 503 or a broken connection; doubled each time.
const BACKOFF: Duration = Duration::from_millis(200);

/// The S3 side of a cluster.
pub struct S3 {
    http: Client,
    endpoints: Vec<Url>,
    /// The endpoint that answered last.
    current: AtomicUsize,
    region: String,
    credentials: Credentials,
}

/// One request.
pub struct Call<'a> {
    /// The verb.
    pub method: Method,
    /// Which bucket; none for the service itself.
    pub bucket: Option<&'a str>,
    /// Which key.
    pub key: Option<&'a str>,
    /// Query parameters.
    pub query: Vec<(&'static str, Cow<'a, str>)>,
    /// Headers, lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl<'a> Call<'a> {
    /// A request to the service.
    pub fn service(method: Method) -> Self {
        Self {
            method,
            bucket: None,
            key: None,
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A request to a bucket.
    pub fn bucket(method: Method, bucket: &'a str) -> Self {
        Self {
            bucket: Some(bucket),
            ..Self::service(method)
        }
    }

    /// A request to an object.
    pub fn object(method: Method, bucket: &'a str, key: &'a str) -> Self {
        Self {
            key: Some(key),
            ..Self::bucket(method, bucket)
        }
    }

    /// With one more query parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Whether it changes anything.
    pub fn writes(&self) -> bool {
        !matches!(self.method, Method::Get | Method::Head)
    }
}

impl S3 {
    /// From the flags and the environment.
    pub fn from_args(args: &S3Args) -> Result<Self, Failure> {
        let endpoints = args.endpoints()?;
        Ok(Self {
            http: http(&endpoints, args.ca_bundle.as_deref())?,
            credentials: args.credentials()?,
            region: args.region.clone(),
            current: AtomicUsize::new(0),
            endpoints,
        })
    }

    /// Sends a request until a node answers it with something other than "not now". Success is a 2xx; everything else
    /// is a [`Failure`] in words.
    pub async fn send(&self, mut call: Call<'_>) -> Result<Response, Failure> {
        if call.writes() {
            call.headers.push(("amz-sdk-invocation-id", invocation_id()));
        }
        call.headers.sort();
        call.query.sort();
        let attempts = self.endpoints.len().max(ATTEMPTS_MIN);
        let mut backoff = BACKOFF;
        let mut may_have_happened = false;
        for attempt in 1.. {
            let at = self.current.load(Ordering::Relaxed) % self.endpoints.len();
            let outcome = self.once(&self.endpoints[at], &call).await;
            let last = attempt >= attempts;
            match outcome {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if last || !worth_repeating(&response) => {
                    return Err(from_response(response, &call, may_have_happened).await);
                }
                Ok(_) => may_have_happened |= call.writes(),
                Err(error) => {
                    may_have_happened |= call.writes() && !error.is_connect();
                    if last {
                        return Err(from_transport(&error, &self.endpoints, may_have_happened));
                    }
                }
            }
            self.current.store(at + 1, Ordering::Relaxed);
            // Other nodes are asked at once; only a second round waits.
            if attempt >= self.endpoints.len() {
                tokio::time::sleep(backoff).await;
                backoff *= 2;
            }
        }
        unreachable!("the loop ends at its last attempt")
    }

    async fn once(&self, endpoint: &Url, call: &Call<'_>) -> Result<Response, reqwest::Error> {
        let url = self.sign(endpoint, call);
        let mut request = self.http.request(method(call.method), url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if matches!(call.method, Method::Put | Method::Post) {
            // Set even when empty: a PUT without Content-Length is 411 at some proxies.
            request = request
                .header("content-length", call.body.len())
                .body(call.body.clone());
        }
        // The URL in an error would carry a signature that is still good.
        request.send().await.map_err(reqwest::Error::without_url)
    }

    fn sign(&self, endpoint: &Url, call: &Call<'_>) -> Url {
        rusty_s3::signing::sign(
            &Timestamp::now(),
            call.method,
            self.address(endpoint, call),
            self.credentials.key(),
            self.credentials.secret(),
            self.credentials.token(),
            &self.region,
            SIGNATURE_SECONDS,
            call.query.iter().map(|(name, value)| (*name, value.as_ref())),
            call.headers.iter().map(|(name, value)| (*name, value.as_str())),
        )
    }

    fn address(&self, endpoint: &Url, call: &Call<'_>) -> Url {
        let Some(name) = call.bucket else {
            return endpoint.clone();
        };
        // The endpoint was checked when it was parsed, and a path-style URL can be made for any name.
        let Ok(bucket) = Bucket::new(endpoint.clone(), UrlStyle::Path, name.to_owned(), self.region.clone()) else {
            return endpoint.clone();
        };
        match call.key {
            Some(key) => bucket.object_url(key),
            None => {
                let mut url = bucket.base_url().clone();
                let path = url.path().trim_end_matches('/').to_owned();
                url.set_path(&path);
                url
            }
        }
    }
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Head => reqwest::Method::HEAD,
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Delete => reqwest::Method::DELETE,
    }
}

fn worth_repeating(response: &Response) -> bool {
    matches!(response.status().as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// A version-4 UUID, as the SDKs send.
fn invocation_id() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness there is no id; the cluster then draws its own, and only the retry is less well recognised.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(endpoints: &[&str]) -> S3 {
        S3::from_args(&S3Args {
            endpoint: None,
            endpoints: Some(endpoints.join(",")),
            access_key: Some("HFEXAMPLE".to_owned()),
            secret_key: Some("secret".to_owned()),
            region: "us-east-1".to_owned(),
            ca_bundle: None,
        })
        .expect("valid")
    }

    #[test]
    fn urls_carry_keys_unchanged() {
        let s3 = s3(&["http://127.0.0.1:9000"]);
        let path = |call: Call<'_>| s3.sign(&s3.endpoints[0], &call).path().to_owned();
        assert_eq!(path(Call::service(Method::Get)), "/");
        assert_eq!(path(Call::bucket(Method::Put, "photos")), "/photos");
        assert_eq!(
            path(Call::object(Method::Get, "photos", "a b/ü%+")),
            "/photos/a%20b/%C3%BC%25%2B"
        );
        assert_eq!(path(Call::object(Method::Get, "photos", "//x")), "/photos///x");
    }

    #[test]
    fn headers_are_signed() {
        let s3 = s3(&["http://127.0.0.1:9000"]);
        let call = Call::object(Method::Put, "b", "k").header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=");
        let url = s3.sign(&s3.endpoints[0], &call);
        assert!(
            url.query()
                .expect("signed")
                .contains("X-Amz-SignedHeaders=host%3Bx-amz-checksum-crc64nvme")
        );
    }

    #[test]
    fn invocation_ids_are_uuids_and_differ() {
        let id = invocation_id();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert_ne!(id, invocation_id());
    }

    #[tokio::test]
    async fn no_node_up_is_told_with_the_endpoints() {
        // Port 1 is reserved and closed on loopback.
        let failure = s3(&["http://127.0.0.1:1"])
            .send(Call::service(Method::Get))
            .await
            .expect_err("closed");
        assert_eq!(failure.exit, crate::failure::Exit::Unavailable);
        assert!(failure.what.contains("127.0.0.1:1"), "{}", failure.what);
    }
}
