//! `key`: access keys of the cluster. The root key is not among those that can be switched off here.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::connection::RestArgs;
use crate::client::list::short_date;
use crate::client::print::{Printer, table};
use crate::client::rest::{Rest, list, text};
use crate::failure::Failure;

/// What can be done with access keys
#[derive(Subcommand, Debug)]
pub enum KeyVerb {
    /// Make a key; its secret is shown once, here
    Create {
        /// What people will call it
        name: String,
        #[command(flatten)]
        rest: RestArgs,
    },
    /// List the keys, without their secrets
    List {
        #[command(flatten)]
        rest: RestArgs,
    },
    /// Turn a key off
    Disable {
        /// Access key id
        id: String,
        #[command(flatten)]
        rest: RestArgs,
    },
    /// Turn a key on again
    Enable {
        /// Access key id
        id: String,
        #[command(flatten)]
        rest: RestArgs,
    },
    /// Delete a key for good
    Delete {
        /// Access key id
        id: String,
        #[command(flatten)]
        rest: RestArgs,
    },
}

/// Runs `key …`.
pub async fn run(verb: KeyVerb, json: bool) -> Result<(), Failure> {
    let mut out = Printer::new(json);
    match verb {
        KeyVerb::Create { name, rest } => {
            let key = Rest::from_args(&rest)?.post(&["keys"], json!({ "name": name })).await?;
            if json {
                out.line("", || key)?;
            } else {
                let shown = |field| text(&key, field).unwrap_or("?");
                out.line(format!("export AWS_ACCESS_KEY_ID={}", shown("access_key_id")), || {
                    Value::Null
                })?;
                out.line(
                    format!("export AWS_SECRET_ACCESS_KEY={}", shown("secret_access_key")),
                    || Value::Null,
                )?;
            }
        }
        KeyVerb::List { rest } => {
            let answer = Rest::from_args(&rest)?.get(&["keys"], &[]).await?;
            let mut rows = table(&["access key", "name", "state", "created"]);
            for key in list(&answer, "keys") {
                if json {
                    out.line("", || key.clone())?;
                    continue;
                }
                let shown = |field| text(key, field).unwrap_or_default().to_owned();
                // The root key is as old as the cluster, whose age nobody wrote down.
                let created = text(key, "created").map_or_else(|| "at founding".to_owned(), short_date);
                rows.add([shown("access_key_id"), shown("name"), shown("state"), created]);
            }
            if !json {
                out.line(rows, || Value::Null)?;
            }
        }
        KeyVerb::Disable { id, rest } => switch(&rest, &id, "disable", &mut out).await?,
        KeyVerb::Enable { id, rest } => switch(&rest, &id, "enable", &mut out).await?,
        KeyVerb::Delete { id, rest } => {
            Rest::from_args(&rest)?.delete(&["keys", &id]).await?;
            out.line(
                format!("deleted {id}"),
                || json!({ "access_key_id": id, "state": "deleted" }),
            )?;
        }
    }
    out.finish()
}

async fn switch(rest: &RestArgs, id: &str, verb: &str, out: &mut Printer) -> Result<(), Failure> {
    Rest::from_args(rest)?.post(&["keys", id, verb], json!({})).await?;
    out.line(
        format!("{verb}d {id}"),
        || json!({ "access_key_id": id, "state": format!("{verb}d") }),
    )
}
