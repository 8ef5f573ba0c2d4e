//! Which cluster a client verb talks to, and as whom: flags first, then `HOLDFAST_…` and `AWS_…` from the environment.
//!
//! Several endpoints may be given; any node takes any request, so the client moves on when one does not answer. Proxies
//! from the environment are not used: the nodes are ours, often on loopback, and a forgotten `HTTP_PROXY` would send
//! signed requests elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Client, Url};

use crate::client::here::Here;
use crate::failure::{Exit, Failure, local};

/// Where the S3 side is, and the key to sign with.
#[derive(Args, Debug, Clone)]
pub struct S3Args {
    /// S3 endpoint, for example http://127.0.0.1:9000
    #[arg(long, env = "HOLDFAST_ENDPOINT", value_name = "URL", help_heading = "Connection")]
    pub endpoint: Option<String>,
    /// Several S3 endpoints, separated by commas; used when --endpoint is not given
    #[arg(
        long,
        env = "HOLDFAST_S3_ENDPOINTS",
        value_name = "URLS",
        help_heading = "Connection"
    )]
    pub endpoints: Option<String>,
    /// Access key id
    #[arg(long, env = "AWS_ACCESS_KEY_ID", value_name = "ID", help_heading = "Connection")]
    pub access_key: Option<String>,
    /// Secret access key; better given in the environment than on a command line that others can see
    #[arg(
        long,
        env = "AWS_SECRET_ACCESS_KEY",
        value_name = "SECRET",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub secret_key: Option<String>,
    /// Region that requests are signed for
    #[arg(
        long,
        env = "AWS_REGION",
        value_name = "NAME",
        default_value = "us-east-1",
        help_heading = "Connection"
    )]
    pub region: String,
    /// Certificates to trust, in PEM; without it those of the system
    #[arg(long, env = "AWS_CA_BUNDLE", value_name = "FILE", help_heading = "Connection")]
    pub ca_bundle: Option<PathBuf>,
}

/// Where the REST side is, and the administrator's token.
#[derive(Args, Debug, Clone)]
pub struct RestArgs {
    /// REST endpoint, for example http://127.0.0.1:9001
    #[arg(
        long,
        env = "HOLDFAST_REST_ENDPOINT",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub rest_endpoint: Option<String>,
    /// Several REST endpoints, separated by commas; used when --rest-endpoint is not given
    #[arg(
        long,
        env = "HOLDFAST_REST_ENDPOINTS",
        value_name = "URLS",
        help_heading = "Connection"
    )]
    pub rest_endpoints: Option<String>,
    /// Administrator's token
    #[arg(
        long,
        env = "HOLDFAST_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub admin_token: Option<String>,
    /// Certificates to trust, in PEM; without it those of the system
    #[arg(long, env = "AWS_CA_BUNDLE", value_name = "FILE", help_heading = "Connection")]
    pub ca_bundle: Option<PathBuf>,
}

/// One or several equal endpoints.
pub type Endpoints = Vec<Url>;

impl S3Args {
    /// The endpoints given.
    pub fn endpoints(&self) -> Result<Endpoints, Failure> {
        let given = choose(self.endpoint.as_deref(), self.endpoints.as_deref());
        let here = || Here::in_environment().map(|here| here.s3().map(|url| vec![url]));
        given.or_else(here).ok_or_else(|| {
            Failure::usage(
                "no S3 endpoint is known",
                "give --endpoint URL, or set HOLDFAST_ENDPOINT, or source the env file of `holdfast dev`",
            )
        })?
    }

    /// The pair to sign with.
    pub fn credentials(&self) -> Result<rusty_s3::Credentials, Failure> {
        match (present(self.access_key.as_deref()), present(self.secret_key.as_deref())) {
            (Some(id), Some(secret)) => Ok(rusty_s3::Credentials::new(id, secret)),
            (None, None) if let Some(here) = Here::in_environment() => {
                let (id, secret) = here.root_key()?;
                Ok(rusty_s3::Credentials::new(id, secret))
            }
            _ => Err(Failure::usage(
                "no access key is known",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or source the env file of `holdfast dev`",
            )),
        }
    }
}

impl RestArgs {
    /// The endpoints given.
    pub fn endpoints(&self) -> Result<Endpoints, Failure> {
        let given = choose(self.rest_endpoint.as_deref(), self.rest_endpoints.as_deref());
        let here = || Here::in_environment().map(|here| here.rest().map(|url| vec![url]));
        given.or_else(here).ok_or_else(|| {
            Failure::usage(
                "no REST endpoint is known",
                "give --rest-endpoint URL, or set HOLDFAST_REST_ENDPOINT, or source the env file of `holdfast dev`",
            )
        })?
    }

    /// The token given.
    pub fn token(&self) -> Result<String, Failure> {
        if let Some(token) = present(self.admin_token.as_deref()) {
            return Ok(token.to_owned());
        }
        match Here::in_environment() {
            Some(here) => here.admin_token(),
            None => Err(Failure::usage(
                "no admin token is known",
                "set HOLDFAST_ADMIN_TOKEN; it is in the file admin-token in the data directory of every node",
            )),
        }
    }
}

/// An HTTP client for these endpoints.
pub fn http(endpoints: &Endpoints, ca_bundle: Option<&Path>) -> Result<Client, Failure> {
    let mut builder = Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(3))
        // A node gives up on a request by itself after 30 s and says so; one that says nothing for longer has gone.
        .read_timeout(Duration::from_secs(45))
        .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
    let tls = endpoints.iter().any(|url| url.scheme() == "https");
    match ca_bundle.filter(|path| tls && !path.as_os_str().is_empty()) {
        Some(path) => builder = builder.tls_certs_only(read_bundle(path)?),
        // The system's store need not be read, nor exist, for plain HTTP.
        None if !tls => builder = builder.tls_certs_only([]),
        None => {}
    }
    builder.build().map_err(|error| {
        Failure::new(
            format!("TLS could not be set up: {}", chain(&error)),
            "install the system's CA certificates (ca-certificates), or name a bundle with --ca-bundle",
        )
    })
}

/// An error with all its causes in one line; reqwest's own text stops at "error sending request".
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn read_bundle(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let pem = std::fs::read(path)
        .map_err(|error| local(format!("the CA bundle {} cannot be read", path.display()), &error).exit(Exit::Usage))?;
    Certificate::from_pem_bundle(&pem).map_err(|error| {
        Failure::usage(
            format!(
                "the CA bundle {} holds no certificate: {}",
                path.display(),
                chain(&error)
            ),
            "name a file of PEM certificates",
        )
    })
}

/// An empty variable is a variable not set: `AWS_REGION= holdfast …` is how shells unset for one command.
fn present(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// The endpoints of one of two flags; `None` when neither was given.
pub fn choose(one: Option<&str>, many: Option<&str>) -> Option<Result<Endpoints, Failure>> {
    let text = present(one).or(present(many))?;
    Some(
        text.split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(parse_endpoint)
            .collect(),
    )
}

/// An endpoint as somebody wrote it.
pub fn parse_endpoint(text: &str) -> Result<Url, Failure> {
    let wrong = |why: String| Failure::usage(why, "write for example http://127.0.0.1:9000");
    // `127.0.0.1:9000` parses as no URL, and `localhost:9000` as one with the scheme `localhost`.
    if !text.contains("://") {
        return Err(wrong(format!("the endpoint `{text}` has no scheme")));
    }
    let url = Url::parse(text).map_err(|error| wrong(format!("`{text}` is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong(format!("`{text}` is not an http or https endpoint")));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(one: Option<&str>, many: Option<&str>) -> Vec<String> {
        choose(one, many)
            .expect("given")
            .expect("valid")
            .iter()
            .map(Url::to_string)
            .collect()
    }

    #[test]
    fn one_endpoint_goes_before_many() {
        assert_eq!(urls(Some("http://a:1"), Some("http://b:2")), ["http://a:1/"]);
        assert_eq!(
            urls(Some(""), Some("http://b:2, https://[::1]:3,")),
            ["http://b:2/", "https://[::1]:3/"]
        );
        assert!(choose(None, Some(" ")).is_none());
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_an_example() {
        for text in ["localhost:9000", "127.0.0.1:9000", "ftp://x", "http://"] {
            let failure = parse_endpoint(text).expect_err(text);
            assert_eq!(failure.exit, Exit::Usage, "{text}");
            assert!(failure.advice.contains("http://127.0.0.1:9000"));
        }
    }

    #[test]
    fn plain_http_needs_no_certificates() {
        let endpoints = choose(Some("http://127.0.0.1:1"), None).expect("given").expect("valid");
        assert!(http(&endpoints, Some(Path::new("/nonexistent"))).is_ok());
    }
}
