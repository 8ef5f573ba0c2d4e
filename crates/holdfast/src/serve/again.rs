//! Starting this very program again, in this very process, when its data have been put aside (rule S1).
//!
//! A new program image is the surest way to be rid of every connection, thread and open file of the old store; whoever
//! supervises this process sees it go on.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::failure::{Failure, local};

/// Does not return, unless it fails.
pub fn start() -> Failure {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            return local(
                "this program cannot be found to be started again; start this node",
                &error,
            );
        }
    };
    let error = Command::new(program).args(std::env::args_os().skip(1)).exec();
    local("this program could not be started again; start this node", &error)
}
