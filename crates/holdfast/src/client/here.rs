//! The node of this machine, as whoever is on it finds it: by the settings with which that node runs.
//!
//! In a container, or as `holdfast server` on a machine, the node is configured by the environment or a file, and its keys lie in
//! its data directory. Commands that are run beside it (`docker exec`, `kubectl exec`, a shell with the same environment) read the
//! same settings, and so need to be told nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use reqwest::Url;

use crate::config::{Config, ServerArgs, load};
use crate::failure::{Failure, local};

/// Keys are short.
const FILE_BYTES_MAX: usize = 4096;

/// The settings of a server that is given no flags.
#[derive(Parser)]
struct Given {
    #[command(flatten)]
    server: ServerArgs,
}

/// The node of this machine.
pub struct Here {
    config: Config,
}

impl Here {
    /// By the environment, and the configuration file given here or there.
    pub fn find(file: Option<PathBuf>) -> Result<Self, Failure> {
        let given = Given::try_parse_from(["holdfast"]).map_err(|error| {
            Failure::usage(
                format!(
                    "the environment holds a setting that cannot be read: {}",
                    error.to_string().trim()
                ),
                "correct it; `holdfast server --help` lists every setting",
            )
        })?;
        let mut server = given.server;
        server.config = file.or(server.config);
        Ok(Self { config: load(server)? })
    }

    /// The node that the environment speaks of, if it speaks of one.
    pub fn in_environment() -> Option<Self> {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if is_set("HOLDFAST_DATA") || is_set("HOLDFAST_CONFIG") {
            return Self::find(None).ok();
        }
        None
    }

    /// Its REST endpoint, as it is reached from here.
    pub fn rest(&self) -> Result<Url, Failure> {
        self.endpoint(self.config.rest_bind)
    }

    /// Its S3 endpoint, as it is reached from here.
    pub fn s3(&self) -> Result<Url, Failure> {
        self.endpoint(self.config.s3_bind)
    }

    /// The region that it serves.
    pub fn region(&self) -> &str {
        &self.config.region
    }

    /// The administrator's token.
    pub fn admin_token(&self) -> Result<String, Failure> {
        Ok(self.read("admin-token")?.trim().to_owned())
    }

    /// The root key: id and secret.
    pub fn root_key(&self) -> Result<(String, String), Failure> {
        let text = self.read("root-key")?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        match (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Ok((id.to_owned(), secret.to_owned())),
            _ => Err(Failure::new(
                format!("{} holds no key", self.config.data.join("root-key").display()),
                "remove it and start the node again, which writes it anew",
            )),
        }
    }

    fn endpoint(&self, bound: SocketAddr) -> Result<Url, Failure> {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        let text = format!("{scheme}://{}", dialled(bound));
        Url::parse(&text).map_err(|error| Failure::new(format!("{text} is not a URL: {error}"), "correct --bind"))
    }

    fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.config.data.join(name);
        let bytes = std::fs::read(&path).map_err(|error| {
            let failure = local(format!("{} cannot be read", path.display()), &error);
            match error.kind() {
                std::io::ErrorKind::NotFound => Failure {
                    advice: "is this the node's data directory, and does its cluster stand? Give --data DIR or set HOLDFAST_DATA"
                        .to_owned(),
                    ..failure
                },
                _ => failure,
            }
        })?;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(FILE_BYTES_MAX)]);
        Ok(text.into_owned())
    }

    /// The same node, looked for in another directory.
    pub fn with_data(mut self, data: Option<PathBuf>) -> Self {
        if let Some(data) = data {
            self.config.data = data;
        }
        self
    }
}

/// What to dial for what listens there.
fn dialled(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

#[cfg(test)]
mod tests {
    use super::dialled;

    #[test]
    fn whoever_listens_everywhere_is_dialled_on_loopback() {
        let shown = |bound: &str| dialled(bound.parse().expect("an address")).to_string();
        assert_eq!(shown("0.0.0.0:9001"), "127.0.0.1:9001");
        assert_eq!(shown("[::]:9001"), "[::1]:9001");
        assert_eq!(shown("192.0.2.7:1"), "192.0.2.7:1");
    }
}
