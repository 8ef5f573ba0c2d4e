//! The root key and the admin token: where they come from, and the files in which people find them.
//!
//! The root key is given by the founder's configuration or made at founding, and handed to every member with the rest
//! of the cluster. The admin token, unless configured, follows from the cluster's secret: so all members accept the
//! same one without a word between them.

use holdfast_node::gateway::GatewayToken;
use holdfast_node::identity::Identity;
use holdfast_node::shell::RootKey;

use crate::config::Config;
use crate::dev::random_text;
use crate::failure::Failure;
use crate::serve::data_dir::DataDir;

/// As AWS's look: 20 characters that read well aloud.
const KEY_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The root key of a cluster that this node founds.
pub fn root_key(config: &Config) -> Result<RootKey, Failure> {
    match &config.root_key {
        Some(key) => Ok(RootKey {
            id: key.id.clone(),
            secret: key.secret.clone(),
        }),
        None => Ok(RootKey {
            id: format!("HFROOT{}", random_text(14, KEY_ALPHABET)?),
            secret: random_text(40, SECRET_ALPHABET)?,
        }),
    }
}

/// The token that the REST interface takes.
pub fn admin_token(config: &Config, identity: &Identity) -> String {
    if let Some(token) = &config.admin_token {
        return token.clone();
    }
    let derived = identity.secret.derive("admin token");
    derived.iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes both where the operator can find them, and the token that admits gateways.
pub fn write_files(data_dir: &DataDir, root: &RootKey, admin_token: &str, identity: &Identity) -> Result<(), Failure> {
    let text = format!("AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n", root.id, root.secret);
    write_if_other(data_dir, "root-key", &text)?;
    let gateway_token = GatewayToken::of(identity);
    write_if_other(data_dir, "gateway-token", &format!("{gateway_token}\n"))?;
    write_if_other(data_dir, "admin-token", &format!("{admin_token}\n"))
}

/// A start that changes nothing writes nothing.
fn write_if_other(data_dir: &DataDir, name: &str, text: &str) -> Result<(), Failure> {
    if std::fs::read_to_string(data_dir.path().join(name)).is_ok_and(|held| held == text) {
        return Ok(());
    }
    data_dir.write_secret(name, text)
}
