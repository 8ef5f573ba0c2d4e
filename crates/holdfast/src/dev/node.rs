//! One node of a `dev` cluster: its directory, its ports, its configuration file.

use std::path::{Path, PathBuf};

use crate::dev::state::{Cluster, make_dir, write_secret};
use crate::failure::Failure;

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number, from 0.
    pub index: usize,
    /// Its directory.
    pub dir: PathBuf,
    /// Port of its S3 side.
    pub s3_port: u16,
    /// Port of its REST side.
    pub rest_port: u16,
    /// Port on which the other nodes reach it.
    pub node_port: u16,
}

/// How a node comes to the cluster when its data directory is new.
pub enum Part<'a> {
    /// It founds it.
    Founder,
    /// It registers with the founder.
    Joiner {
        /// Port of the founder.
        founder: u16,
        /// Its token.
        token: &'a str,
    },
    /// It is a member already, or was configured before.
    Member,
}

impl Node {
    /// What people call it.
    pub fn name(&self) -> String {
        format!("node-{}", self.index)
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// What it keeps.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where a founder leaves its token.
    pub fn token_file(&self) -> PathBuf {
        self.data().join(crate::serve::JOIN_TOKEN_FILE)
    }

    /// Whether it belongs to a cluster already.
    pub fn is_member(&self) -> bool {
        holdfast_node::identity::directory(&self.data()).exists()
    }

    /// Writes its configuration.
    pub fn write_config(&self, cluster: &Cluster, part: &Part<'_>) -> Result<(), Failure> {
        make_dir(&self.dir)?;
        write_secret(&self.config(), &self.config_text(cluster, part))
    }

    fn config_text(&self, cluster: &Cluster, part: &Part<'_>) -> String {
        let state = &cluster.state;
        let mut lines = vec![
            "# Written by `holdfast dev`.".to_owned(),
            text("data", &self.data().to_string_lossy()),
            text("name", &self.name()),
            // Every node stands for a host of its own: what is tried out is a cluster, not one machine.
            text("host", &self.name()),
            text("s3_bind", &format!("127.0.0.1:{}", self.s3_port)),
            text("rest_bind", &format!("127.0.0.1:{}", self.rest_port)),
            text("node_bind", &format!("127.0.0.1:{}", self.node_port)),
            text("region", &state.region),
            text("root_access_key", &state.access_key),
            text("root_secret_key", &state.secret_key),
            text("admin_token", &state.admin_token),
            text("log_format", "plain"),
            // They share a disk; shares of its size would not mean much, equal ones do.
            text("capacity", "1TB"),
        ];
        match part {
            Part::Founder => lines.push(format!("found = {}", state.nodes)),
            Part::Joiner { founder, token } => {
                lines.push(text("join", &format!("127.0.0.1:{founder}")));
                lines.push(text("token", token));
            }
            Part::Member => {}
        }
        if state.tls {
            let tls = cluster.dir.join("tls");
            lines.push(text("tls_cert", &path(&tls, "node.pem")));
            lines.push(text("tls_key", &path(&tls, "node.key")));
        }
        if state.unsafe_no_sync {
            lines.push("unsafe_no_sync = true".to_owned());
        }
        lines.extend(state.settings.iter().cloned());
        lines.push(String::new());
        lines.join("\n")
    }
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_string_lossy().into_owned()
}

fn text(key: &str, value: &str) -> String {
    format!("{key} = {}", toml::Value::String(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::state::State;

    #[test]
    fn the_configuration_is_one_that_the_server_reads() {
        let state = State::new(3, 9000, true, true).expect("valid");
        let cluster = Cluster {
            dir: "/tmp/a \"b\"\\c".into(),
            state,
        };
        for part in [
            Part::Founder,
            Part::Joiner {
                founder: 9002,
                token: "hf1-00",
            },
            Part::Member,
        ] {
            let written = cluster.node(1).config_text(&cluster, &part);
            let settings: crate::config::Settings = toml::from_str(&written).expect("reads back");
            assert_eq!(settings.data, Some(cluster.node(1).data()));
            let config = crate::config::resolve(settings).expect("valid");
            assert_eq!(config.rest_advertise, "https://127.0.0.1:9011");
            assert!(config.unsafe_no_sync);
        }
    }
}
