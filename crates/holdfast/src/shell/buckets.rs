//! Buckets in the shell: `buckets`, `mb`, `rb`, `use`.

use serde_json::json;

use super::session::{DEFAULT_BUCKET, Said, Session};
use crate::client::bucket::{self, Mb, Rb};
use crate::client::list::{self, Ls};
use crate::client::place::Remote;
use crate::failure::{Exit, Failure};

pub async fn list(session: &Session) -> Result<(), Failure> {
    let ls = Ls {
        place: None,
        recursive: false,
        bytes: false,
        s3: session.s3.clone(),
    };
    list::run(ls, session.is_json()).await
}

pub async fn make(session: &Session, name: &str) -> Result<(), Failure> {
    let mb = Mb {
        place: place(name)?,
        s3: session.s3.clone(),
    };
    bucket::make(mb, session.is_json()).await
}

pub async fn remove(session: &Session, name: &str) -> Result<(), Failure> {
    let rb = Rb {
        place: place(name)?,
        force: false,
        s3: session.s3.clone(),
    };
    bucket::remove(rb, session.is_json()).await
}

/// Works in another bucket from now on, if there is one of that name.
pub async fn switch(session: &mut Session, name: &str) -> Result<Said, Failure> {
    let name = place(name)?.whole_bucket()?.to_owned();
    let found = session
        .rest()?
        .get_unless("no_such_bucket", &["buckets", &name], &[])
        .await?;
    // The default bucket need not exist: the first `save` makes it.
    if found.is_none() && name != DEFAULT_BUCKET {
        return Err(
            Failure::new(format!("there is no bucket {name}"), format!("make it with: mb {name}")).exit(Exit::NotFound),
        );
    }
    session.bucket.clone_from(&name);
    Ok(Said {
        text: format!("working in bucket {name}"),
        value: json!({ "bucket": name }),
    })
}

/// `photos` and `hf://photos` name the same.
fn place(name: &str) -> Result<Remote, Failure> {
    Remote::parse(name).map_err(|why| Failure::usage(why, "write the name of a bucket"))
}
