//! Settings become a configuration: defaults filled in, contradictions refused with what to do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use holdfast_node::shell::{Forgetting, Upkeep};

use crate::config::birth::{birth, check_reachable};
use crate::config::{Config, LogFormat, RootKey, Settings, TlsFiles};
use crate::failure::Failure;

const S3_PORT: u16 = 9000;
const REST_PORT: u16 = 9001;
pub(super) const NODE_PORT: u16 = 9002;

/// Shorter secrets can be guessed at the rate a node answers.
const SECRET_BYTES_MIN: usize = 16;

/// Decides everything that the settings leave open.
pub fn resolve(settings: Settings) -> Result<Config, Failure> {
    let bind = settings.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let s3_bind = settings.s3_bind.unwrap_or(SocketAddr::new(bind, S3_PORT));
    let rest_bind = settings.rest_bind.unwrap_or(SocketAddr::new(bind, REST_PORT));
    let node_bind = settings.node_bind.unwrap_or(SocketAddr::new(bind, NODE_PORT));
    if s3_bind == rest_bind || s3_bind == node_bind || rest_bind == node_bind {
        return Err(Failure::usage(
            format!("two ports are the same: S3 {s3_bind}, REST {rest_bind}, node {node_bind}"),
            "give each its own with --s3-bind, --rest-bind and --node-bind",
        ));
    }
    let tls = tls(&settings)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let host = |bound: SocketAddr| advertised_host(settings.advertise.as_deref(), bound);
    let endpoint = |bound: SocketAddr| format!("{scheme}://{}", with_port(&host(bound), bound.port()));
    let node_advertise = match &settings.node_advertise {
        Some(address) => address.clone(),
        None => with_port(&host(node_bind), node_bind.port()),
    };
    let birth = birth(&settings, &node_advertise)?;
    check_reachable(&birth, node_bind, &settings)?;
    let hostname = hostname();
    Ok(Config {
        data: settings.data.clone().unwrap_or_else(|| PathBuf::from("holdfast-data")),
        name: name("name", settings.name.clone().unwrap_or_else(|| hostname.clone()))?,
        zone: name("zone", said(&settings.zone).unwrap_or_else(|| "default".to_owned()))?,
        host: name("host", said(&settings.host).unwrap_or(hostname))?,
        capacity_bytes: settings.capacity.map(|capacity| capacity.0),
        s3_advertise: settings.s3_advertise.clone().unwrap_or_else(|| endpoint(s3_bind)),
        rest_advertise: settings.rest_advertise.clone().unwrap_or_else(|| endpoint(rest_bind)),
        node_advertise,
        s3_bind,
        rest_bind,
        node_bind,
        region: settings.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
        base_domains: base_domains(settings.base_domains.clone().unwrap_or_default())?,
        tls,
        admin_token: secret("admin_token", settings.admin_token.clone())?,
        root_key: root_key(&settings)?,
        birth,
        unsafe_no_sync: settings.unsafe_no_sync.unwrap_or(false),
        disk_lost: settings.disk_lost,
        forgetting: forgetting(&settings),
        upkeep: upkeep(&settings),
        connections_max: settings.connections_max.map(|connections| connections.max(1)),
        body_memory_bytes: settings.body_memory.map(|memory| memory.0),
        log_format: settings.log_format.unwrap_or_else(default_log_format),
        log: settings.log.clone().unwrap_or_else(|| "info".to_owned()),
    })
}

fn forgetting(settings: &Settings) -> Forgetting {
    let usual = Forgetting::default();
    let ms = |seconds: u64| seconds.saturating_mul(1_000);
    Forgetting {
        dead_wait_ms: settings.dead_wait_s.map_or(usual.dead_wait_ms, ms).max(1_000),
        message_life_ms: settings.message_life_ms.unwrap_or(usual.message_life_ms).max(1),
        commit_within_ms: settings.commit_within_s.map_or(usual.commit_within_ms, ms),
    }
}

fn upkeep(settings: &Settings) -> Upkeep {
    let usual = Upkeep::default();
    let ms = |seconds: u64| seconds.max(1).saturating_mul(1_000);
    Upkeep {
        compare_every_ms: settings.compare_every_s.map_or(usual.compare_every_ms, ms),
        scrub_every_ms: settings.scrub_every_s.map_or(usual.scrub_every_ms, ms),
    }
}

fn tls(settings: &Settings) -> Result<Option<TlsFiles>, Failure> {
    match (settings.tls_cert.clone(), settings.tls_key.clone()) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (Some(_), None) => Err(Failure::usage(
            "there is a certificate, but no key for it",
            "add --tls-key FILE",
        )),
        (None, Some(_)) => Err(Failure::usage(
            "there is a key, but no certificate for it",
            "add --tls-cert FILE",
        )),
    }
}

fn root_key(settings: &Settings) -> Result<Option<RootKey>, Failure> {
    let secret = secret("root_secret_key", settings.root_secret_key.clone())?;
    match (settings.root_access_key.clone(), secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => {
            // The id stands between slashes in every signature.
            let printable = id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !printable || !(3..=128).contains(&id.len()) {
                return Err(Failure::usage(
                    format!("`{id}` cannot be an access key id"),
                    "use 3 to 128 letters, digits, `-`, `_` and `.`",
                ));
            }
            Ok(Some(RootKey { id, secret }))
        }
        _ => Err(Failure::usage(
            "the root key is half given",
            "give both --root-access-key and --root-secret-key, or neither",
        )),
    }
}

fn secret(what: &str, secret: Option<String>) -> Result<Option<String>, Failure> {
    match secret {
        Some(secret) if secret.len() < SECRET_BYTES_MIN || secret.chars().any(char::is_whitespace) => {
            Err(Failure::usage(
                format!("{what} is too weak: {SECRET_BYTES_MIN} characters at least, no spaces"),
                "make one with `openssl rand -hex 20`, or leave it out and one is made",
            ))
        }
        other => Ok(other),
    }
}

/// Kubernetes sets a variable for a label that a pod does not have to nothing.
fn said(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// Names travel to every node and into every list; a line break in one would forge log lines.
fn name(what: &str, name: String) -> Result<String, Failure> {
    if name.is_empty() || name.len() > 64 || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Failure::usage(
            format!("`{}` cannot be a {what}", name.escape_debug()),
            "use 1 to 64 characters without spaces",
        ));
    }
    Ok(name)
}

fn base_domains(domains: Vec<String>) -> Result<Vec<String>, Failure> {
    for domain in &domains {
        let labels = domain.split('.');
        let valid = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !labels.clone().all(valid) || domain.parse::<IpAddr>().is_ok() {
            return Err(Failure::usage(
                format!("`{domain}` is not a domain that buckets could stand before"),
                "write for example s3.example.org",
            ));
        }
    }
    Ok(domains.into_iter().map(|domain| domain.to_ascii_lowercase()).collect())
}

fn advertised_host(advertise: Option<&str>, bound: SocketAddr) -> String {
    match (advertise, bound.ip()) {
        (Some(host), _) => host.to_owned(),
        (None, ip) if ip.is_unspecified() => hostname(),
        (None, ip) => ip.to_string(),
    }
}

/// `host:port`, with brackets where the host is an IPv6 address.
fn with_port(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name: String = name
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .take(64)
        .collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn default_log_format() -> LogFormat {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        LogFormat::Plain
    } else {
        LogFormat::Json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Birth;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn nothing_said_is_a_node_alone_on_loopback() {
        let config = resolve(Settings::default()).expect("valid");
        assert_eq!(config.birth, Birth::Alone);
        assert_eq!(config.s3_bind.to_string(), "127.0.0.1:9000");
        assert_eq!(config.s3_advertise, "http://127.0.0.1:9000");
        assert_eq!(config.node_advertise, "127.0.0.1:9002");
        assert!(!config.unsafe_no_sync);
    }

    #[test]
    fn bind_and_advertised_addresses_are_apart() {
        let config = resolve(Settings {
            bind: Some("::".parse().expect("an address")),
            advertise: text("2001:db8::7"),
            s3_advertise: text("https://s3.example.org"),
            found: Some(3),
            ..Settings::default()
        })
        .expect("valid");
        assert_eq!(config.node_bind.to_string(), "[::]:9002");
        assert_eq!(config.node_advertise, "[2001:db8::7]:9002");
        assert_eq!(config.s3_advertise, "https://s3.example.org");
    }

    #[test]
    fn a_zone_that_is_empty_was_not_said() {
        let config = resolve(Settings {
            zone: text(""),
            host: text(""),
            ..Settings::default()
        })
        .expect("valid");
        assert_eq!(config.zone, "default");
        assert_eq!(config.host, config.name, "both are the name of this machine");
    }

    #[test]
    fn tls_changes_the_scheme_of_what_is_advertised() {
        let tls = Settings {
            tls_cert: Some("c".into()),
            tls_key: Some("k".into()),
            ..Settings::default()
        };
        assert_eq!(resolve(tls).expect("valid").rest_advertise, "https://127.0.0.1:9001");
    }

    #[test]
    fn contradictions_are_refused() {
        let base = Settings::default;
        let wrong = [
            Settings {
                found: Some(3),
                join: text("a:1"),
                ..base()
            },
            Settings {
                found: Some(3),
                token: text("t"),
                ..base()
            },
            Settings {
                found: Some(0),
                ..base()
            },
            Settings {
                join: text("a:1"),
                ..base()
            },
            Settings {
                tls_cert: Some("c".into()),
                ..base()
            },
            Settings {
                root_access_key: text("ROOT"),
                ..base()
            },
            Settings {
                root_access_key: text("a/b"),
                root_secret_key: text(&"s".repeat(32)),
                ..base()
            },
            Settings {
                admin_token: text("short"),
                ..base()
            },
            Settings {
                name: text("two words"),
                ..base()
            },
            Settings {
                base_domains: Some(vec!["http://x".to_owned()]),
                ..base()
            },
            Settings {
                s3_bind: Some("127.0.0.1:9001".parse().expect("an address")),
                ..base()
            },
            Settings {
                bind: Some("0.0.0.0".parse().expect("an address")),
                found: Some(3),
                ..base()
            },
        ];
        for settings in wrong {
            let failure = resolve(settings.clone()).expect_err(&format!("{settings:?}"));
            assert_eq!(failure.exit, crate::failure::Exit::Usage);
        }
    }
}
