//! The env file: what a shell needs to talk to the cluster, to be read with `. FILE`.
//!
//! The names are a contract with scripts. Every value is quoted so that no directory name or key can run anything.

use std::path::Path;

use crate::dev::state::{Cluster, write_secret};
use crate::failure::Failure;

/// Writes the env file, whole or not at all.
pub fn write(path: &Path, cluster: &Cluster, pids: &[i32]) -> Result<(), Failure> {
    write_secret(path, &text(cluster, pids))
}

fn text(cluster: &Cluster, pids: &[i32]) -> String {
    let nodes = cluster.nodes();
    let join = |texts: Vec<String>| texts.join(",");
    let state = &cluster.state;
    let mut lines = vec![
        (
            "HOLDFAST_S3_ENDPOINTS",
            join(nodes.iter().map(|node| cluster.s3_endpoint(node)).collect()),
        ),
        (
            "HOLDFAST_REST_ENDPOINTS",
            join(nodes.iter().map(|node| cluster.rest_endpoint(node)).collect()),
        ),
        ("HOLDFAST_PIDS", join(pids.iter().map(i32::to_string).collect())),
        ("HOLDFAST_ADMIN_TOKEN", state.admin_token.clone()),
        ("AWS_ACCESS_KEY_ID", state.access_key.clone()),
        ("AWS_SECRET_ACCESS_KEY", state.secret_key.clone()),
        ("AWS_REGION", state.region.clone()),
        ("AWS_DEFAULT_REGION", state.region.clone()),
    ];
    if let Some(bundle) = cluster.ca_bundle() {
        lines.push(("AWS_CA_BUNDLE", bundle.to_string_lossy().into_owned()));
    }
    let mut out = String::new();
    for (name, value) in lines {
        out.push_str(&format!("export {name}={}\n", quote(&value)));
    }
    out
}

/// One word for a POSIX shell: single quotes keep everything but themselves.
pub fn quote(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::state::State;

    #[test]
    fn values_are_quoted_for_the_shell() {
        assert_eq!(
            quote("http://127.0.0.1:9000,http://127.0.0.1:9010"),
            "http://127.0.0.1:9000,http://127.0.0.1:9010"
        );
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_shell_reads_back_what_was_written() {
        let mut state = State::new(2, 9000, true, false).expect("valid");
        state.secret_key = "a'b $(touch /nonexistent) \"c\" \\ d".to_owned();
        let cluster = Cluster {
            dir: "/tmp/it's here".into(),
            state,
        };
        let script = format!(
            "{}printf '%s\\n' \"$AWS_SECRET_ACCESS_KEY\" \"$AWS_CA_BUNDLE\" \"$HOLDFAST_PIDS\" \"$HOLDFAST_REST_ENDPOINTS\"",
            text(&cluster, &[7, 8])
        );
        let output = std::process::Command::new("sh")
            .args(["-eu", "-c", &script])
            .output()
            .expect("a shell");
        let read = String::from_utf8(output.stdout).expect("UTF-8");
        let lines: Vec<&str> = read.lines().collect();
        assert_eq!(
            lines,
            [
                cluster.state.secret_key.as_str(),
                "/tmp/it's here/tls/ca.pem",
                "7,8",
                "https://127.0.0.1:9001,https://127.0.0.1:9011"
            ]
        );
    }
}
