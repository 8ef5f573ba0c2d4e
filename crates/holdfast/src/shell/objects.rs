//! Objects in the shell: `ls`, `put`, `update`, `get`, `cat`, `stat`, `rm`, in the current bucket.

use std::path::Path;

use serde_json::{Value, json};

use super::pairs::{exists, holders};
use super::session::{Said, Session, name, names};
use crate::client::copy::{self, Cp};
use crate::client::direct::DirectArgs;
use crate::client::list::{self, Ls};
use crate::client::object::{self, Cat, Stat};
use crate::client::place::{Place, Remote};
use crate::client::remove::{self, Rm};
use crate::client::rest::{list as elements, text};
use crate::failure::{Exit, Failure};

/// Requests at a time of one copy, as `holdfast cp` has it.
const PARALLEL: u32 = 4;

pub async fn list(session: &Session, prefix: &str) -> Result<(), Failure> {
    let ls = Ls {
        place: Some(Remote {
            bucket: session.bucket.clone(),
            key: prefix.to_owned(),
        }),
        recursive: false,
        bytes: false,
        s3: session.s3.clone(),
    };
    list::run(ls, session.is_json()).await
}

pub async fn put(session: &Session, file: &str, key: Option<&str>) -> Result<(), Failure> {
    let to = session.object(key.map_or_else(|| last_name(file), Ok)?)?;
    copy(session, Place::Local(file.into()), Place::Remote(to)).await
}

/// As `put`, but of what is there.
pub async fn update(session: &Session, file: &str, key: Option<&str>) -> Result<(), Failure> {
    let to = session.object(key.map_or_else(|| last_name(file), Ok)?)?;
    if exists(&session.rest()?, &to).await?.is_none() {
        return Err(absent(&to));
    }
    copy(session, Place::Local(file.into()), Place::Remote(to)).await
}

pub async fn get(session: &Session, key: &str, file: Option<&str>) -> Result<(), Failure> {
    let from = session.object(key)?;
    let file = file.map_or_else(|| last_name(key), Ok)?;
    copy(session, Place::Remote(from), Place::Local(file.into())).await
}

fn absent(place: &Remote) -> Failure {
    let what = format!("{place} does not exist");
    Failure::new(what, "put creates it; `ls` shows what there is").exit(Exit::NotFound)
}

async fn copy(session: &Session, from: Place, to: Place) -> Result<(), Failure> {
    let cp = Cp {
        from,
        to,
        recursive: false,
        parallel: PARALLEL,
        content_type: None,
        quiet: false,
        direct: DirectArgs {
            via_one_node: false,
            rest_endpoint: session.rest.rest_endpoint.clone(),
            rest_endpoints: session.rest.rest_endpoints.clone(),
        },
        s3: session.s3.clone(),
    };
    copy::run(cp, session.is_json()).await
}

/// The name that a file or key has without what lies before it.
fn last_name(path: &str) -> Result<&str, Failure> {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Failure::usage(format!("`{path}` ends in no name"), "say how it shall be called"))
}

pub async fn cat(session: &Session, key: &str) -> Result<(), Failure> {
    let cat = Cat {
        places: vec![session.object(key)?],
        s3: session.s3.clone(),
    };
    object::cat(cat).await?;
    session.end_line();
    Ok(())
}

/// What the object says of itself, then what its homes know of it.
pub async fn stat(session: &Session, key: &str) -> Result<Said, Failure> {
    let place = session.object(key)?;
    let rest = session.rest()?;
    let stat = Stat {
        place: place.clone(),
        s3: session.s3.clone(),
    };
    object::stat(stat, session.is_json()).await?;
    let known = exists(&rest, &place).await?;
    let known = known.ok_or_else(|| absent(&place))?;
    let mut lines = vec![
        format!("answered by  {}", name(&known["node"])),
        format!("held by      {}", names(&holders(&known))),
    ];
    for replica in elements(&known, "clocks") {
        let clock: Vec<String> = elements(replica, "clock").iter().map(life).collect();
        lines.push(format!(
            "clock        {} [{}]",
            name(&replica["node"]),
            clock.join(", ")
        ));
    }
    let value = json!({ "node": known["node"], "clocks": known["clocks"], "siblings": known["siblings"] });
    Ok(Said {
        text: lines.join("\n"),
        value,
    })
}

fn life(life: &Value) -> String {
    let field = |field| text(life, field).unwrap_or("?");
    format!("{}-{}:{}", field("actor"), field("life"), field("tick"))
}

pub async fn remove(session: &Session, keys: &[&str]) -> Result<(), Failure> {
    let places: Result<Vec<Remote>, Failure> = keys.iter().map(|key| session.object(key)).collect();
    let rm = Rm {
        places: places?,
        recursive: false,
        quiet: false,
        s3: session.s3.clone(),
    };
    remove::run(rm, session.is_json()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_keys_have_names_of_their_own() {
        assert_eq!(last_name("/a/b/kelp.jpg"), Ok("kelp.jpg"));
        assert_eq!(last_name("kelp.jpg"), Ok("kelp.jpg"));
        assert!(last_name("/").is_err());
        assert!(last_name("..").is_err());
    }
}
