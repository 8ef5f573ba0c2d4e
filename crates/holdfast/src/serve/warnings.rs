//! What an operator must not overlook, said at every start and in the metrics; and the settings, shown by `--check`.

use std::net::SocketAddr;

use holdfast_node::shell::Forgetting;
use tracing::warn;

use crate::config::{Birth, Config};
use crate::failure::{Failure, local};

/// Says aloud what is dangerous in this configuration.
pub fn log(config: &Config) {
    if config.unsafe_no_sync {
        warn!(
            "UNSAFE: --unsafe-no-sync is set. Writes are acknowledged before they are on disk; a power cut LOSES them. \
             For comparisons only, never for data that matters"
        );
    }
    let usual = Forgetting::default();
    if config.forgetting.message_life_ms != usual.message_life_ms {
        warn!(
            life_ms = config.forgetting.message_life_ms,
            "UNSAFE: messages between nodes may live for another time than usual. For tests only; nodes that disagree \
             about it may forget what is still needed"
        );
    }
    for (what, address) in plain_to_the_world(config) {
        warn!(
            "INSECURE: {what} is served without TLS on {address}. Whoever is on that network reads every object and can \
             replay requests. Give --tls-cert and --tls-key, or bind it to loopback"
        );
    }
}

/// Says it to those who look at graphs. Zero is shown too, so that an alarm can tell "safe" from "not asked". To be
/// called once the front ends have installed their recorder.
pub fn count(config: &Config) {
    metrics::describe_gauge!(
        "holdfast_unsafe_no_sync",
        "1 when writes are acknowledged before they are on disk (--unsafe-no-sync): a power cut loses them"
    );
    metrics::gauge!("holdfast_unsafe_no_sync").set(f64::from(u8::from(config.unsafe_no_sync)));
}

fn plain_to_the_world(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    if config.tls.is_some() {
        return Vec::new();
    }
    let ports = [("S3", config.s3_bind), ("REST", config.rest_bind)];
    ports
        .into_iter()
        .filter(|(_, address)| !address.ip().is_loopback())
        .collect()
}

/// Prints the settings as they would be used.
pub fn print_settings(config: &Config) -> Result<(), Failure> {
    std::io::Write::write_all(&mut std::io::stdout(), settings(config).as_bytes())
        .map_err(|error| local("the settings could not be written", &error))
}

/// A bound as it was set, or who sets it.
fn by_machine(set: Option<String>) -> String {
    set.unwrap_or_else(|| "by the machine".to_owned())
}

fn settings(config: &Config) -> String {
    let mut lines: Vec<(&str, String)> = vec![
        ("data", config.data.display().to_string()),
        ("name", config.name.clone()),
        ("zone", config.zone.clone()),
        ("host", config.host.clone()),
        (
            "capacity",
            config
                .capacity_bytes
                .map_or("size of the disk".to_owned(), |bytes| format!("{bytes} bytes")),
        ),
        ("s3_bind", config.s3_bind.to_string()),
        ("rest_bind", config.rest_bind.to_string()),
        ("node_bind", config.node_bind.to_string()),
        ("s3_advertise", config.s3_advertise.clone()),
        ("rest_advertise", config.rest_advertise.clone()),
        ("node_advertise", config.node_advertise.clone()),
        ("region", config.region.clone()),
        ("base_domains", config.base_domains.join(", ")),
        ("log_format", format!("{:?}", config.log_format).to_lowercase()),
        ("log", config.log.clone()),
        ("unsafe_no_sync", config.unsafe_no_sync.to_string()),
        ("dead_wait_s", (config.forgetting.dead_wait_ms / 1_000).to_string()),
        ("compare_every_s", (config.upkeep.compare_every_ms / 1_000).to_string()),
        ("scrub_every_s", (config.upkeep.scrub_every_ms / 1_000).to_string()),
        (
            "connections_max",
            by_machine(config.connections_max.map(|connections| connections.to_string())),
        ),
        (
            "body_memory",
            by_machine(config.body_memory_bytes.map(|bytes| format!("{bytes} bytes"))),
        ),
        (
            "admin_token",
            if config.admin_token.is_some() {
                "given"
            } else {
                "made at founding"
            }
            .to_owned(),
        ),
        (
            "root_access_key",
            config
                .root_key
                .as_ref()
                .map_or("made at founding".to_owned(), |key| key.id.clone()),
        ),
    ];
    if let Some(tls) = &config.tls {
        lines.push(("tls_cert", tls.cert.display().to_string()));
        lines.push(("tls_key", tls.key.display().to_string()));
    }
    lines.push((
        "when new",
        match &config.birth {
            Birth::Alone => "founds a cluster of itself alone".to_owned(),
            Birth::Found { members, .. } => format!("founds a cluster of {members} nodes"),
            Birth::Join { seeds, .. } => format!("registers with the founder at {seeds}"),
        },
    ));
    lines
        .into_iter()
        .map(|(key, value)| format!("{key:16} {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, resolve};

    #[test]
    fn plain_http_is_only_warned_of_where_others_can_see_it() {
        let config = |bind: &str, tls: bool| {
            let file = |name: &str| tls.then(|| name.into());
            resolve(Settings {
                bind: Some(bind.parse().expect("an address")),
                tls_cert: file("c"),
                tls_key: file("k"),
                ..Settings::default()
            })
            .expect("valid")
        };
        assert!(plain_to_the_world(&config("127.0.0.1", false)).is_empty());
        assert!(plain_to_the_world(&config("::1", false)).is_empty());
        assert!(plain_to_the_world(&config("0.0.0.0", true)).is_empty());
        assert_eq!(plain_to_the_world(&config("::", false)).len(), 2);
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = resolve(Settings {
            root_access_key: Some("ROOT".to_owned()),
            root_secret_key: Some("0123456789abcdef".to_owned()),
            admin_token: Some("fedcba9876543210".to_owned()),
            ..Settings::default()
        });
        let shown = settings(&config.expect("valid"));
        assert!(
            shown.contains("ROOT") && !shown.contains("0123456789") && !shown.contains("fedcba"),
            "{shown}"
        );
    }
}
