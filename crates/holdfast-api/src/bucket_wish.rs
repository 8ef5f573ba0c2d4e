//! What may be asked of a new bucket, through REST and gRPC alike.

use s3s::path::check_bucket_name;

use crate::objects::NewBucket;
use crate::problem::{Answer, Problem};

/// Refuses names and numbers that no bucket can have.
pub(crate) fn check(name: &str, new: &NewBucket) -> Answer<()> {
    if !check_bucket_name(name) {
        return Err(Problem::bad_request(
            format!("`{name}` is not a name for a bucket"),
            "use 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit",
        ));
    }
    if [new.n, new.r, new.w].contains(&Some(0)) {
        return Err(Problem::bad_request(
            "n, r and w are at least 1",
            "leave them out for 3, 2 and 2",
        ));
    }
    let n = new.n.unwrap_or(3);
    if new.r.is_some_and(|r| r > n) || new.w.is_some_and(|w| w > n) {
        return Err(Problem::bad_request("r and w are at most n", "choose smaller ones"));
    }
    Ok(())
}
