//! Questions to any node over REST, signed with the access key like those over S3.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value;

use crate::client::connection::{Endpoints, S3Args, http};
use crate::client::rest::{address, read, refused, unreachable_node};
use crate::failure::{Exit, Failure};

/// Where questions go.
pub struct Ask {
    http: Client,
    endpoints: Endpoints,
    /// The endpoint that answered last.
    current: AtomicUsize,
    key_id: String,
    secret: String,
    region: String,
}

impl Ask {
    /// At these endpoints, as whoever the flags and the environment say.
    pub fn new(s3: &S3Args, endpoints: Endpoints) -> Result<Self, Failure> {
        let credentials = s3.credentials()?;
        Ok(Self {
            http: http(&endpoints, s3.ca_bundle.as_deref())?,
            endpoints,
            current: AtomicUsize::new(0),
            key_id: credentials.key().to_owned(),
            secret: credentials.secret().to_owned(),
            region: s3.region.clone(),
        })
    }

    /// The connections.
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// Where it asks.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Asks until a node answers; nothing that is asked for here changes anything.
    pub async fn send(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut last = None;
        for _ in 0..self.endpoints.len() {
            let at = self.current.load(Ordering::Relaxed) % self.endpoints.len();
            let endpoint = &self.endpoints[at];
            let request = self.signed(method.clone(), address(endpoint, path, query))?;
            match request.send().await {
                Ok(response) if response.status().is_success() => return read(response).await,
                Ok(response) if matches!(response.status().as_u16(), 429 | 500 | 502 | 503 | 504) => {
                    last = Some(refused(response, &path.join("/"), false).await);
                }
                Ok(response) => return Err(denied(refused(response, &path.join("/"), false).await)),
                Err(error) => last = Some(unreachable_node(endpoint, &error, false)),
            }
            self.current.store(at + 1, Ordering::Relaxed);
        }
        Err(last.unwrap_or_else(|| Failure::usage("no REST endpoint is known", "give --rest-endpoint URL")))
    }

    fn signed(&self, method: Method, url: Url) -> Result<RequestBuilder, Failure> {
        let cannot =
            |why: String| Failure::usage(format!("a request cannot be signed: {why}"), "check --rest-endpoint");
        let date = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let request = http::Request::builder()
            .method(method.clone())
            .uri(url.as_str())
            .header("host", host)
            .header("x-amz-date", &date)
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .body(());
        let (head, ()) = request.map_err(|error| cannot(error.to_string()))?.into_parts();
        let signature = holdfast_api::signature::authorization(&head, &self.key_id, &self.secret, &self.region);
        Ok(self
            .http
            .request(method, url)
            .header("x-amz-date", date)
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .header("authorization", signature.map_err(cannot)?))
    }
}

/// Here it is an access key that is refused, not the administrator's token.
fn denied(failure: Failure) -> Failure {
    if failure.exit != Exit::Denied {
        return failure;
    }
    let advice = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that --rest-endpoint is of the same cluster";
    Failure {
        advice: advice.to_owned(),
        ..failure
    }
}
