//! The shell from a script: a line, a command.

use std::io::BufRead;

use tokio::runtime::Runtime;

use super::session::{Next, Session};
use crate::failure::{Failure, State, local};

/// Longest line; the text of a `save` is in it.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Runs standard input to its end, to `quit`, or to the first failure.
pub fn run(mut session: Session, runtime: &Runtime, go_on: bool) -> Result<(), Failure> {
    let mut input = std::io::stdin().lock();
    let (mut failed, mut run, mut first) = (0_usize, 0_usize, None);
    for number in 1_usize.. {
        let Some(line) = read_line(&mut input)? else { break };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match runtime.block_on(session.run(line)) {
            Ok(Next::GoOn) => run += 1,
            Ok(Next::Quit) => break,
            Err(failure) => {
                run += 1;
                let failure = at_line(failure, number);
                if !go_on {
                    return Err(failure);
                }
                failure.report(session.is_json());
                failed += 1;
                first.get_or_insert(failure.exit);
            }
        }
    }
    match first {
        None => Ok(()),
        Some(exit) => Err(Failure::new(
            format!("{failed} of {run} commands failed"),
            "each is told above, with its line",
        )
        .exit(exit)
        .state(State::Partly("the other commands did what they say".to_owned()))),
    }
}

fn read_line(input: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let read = std::io::Read::take(&mut *input, LINE_BYTES_MAX).read_until(b'\n', &mut line);
    let read = read.map_err(|error| local("standard input could not be read", &error))?;
    if read as u64 == LINE_BYTES_MAX {
        return Err(Failure::usage(
            "a line has more than 16 MiB",
            "put what is that long from a file",
        ));
    }
    let line = String::from_utf8(line)
        .map_err(|_| Failure::usage("standard input is not UTF-8 text", "put other bytes from a file"))?;
    Ok((read > 0).then_some(line))
}

fn at_line(failure: Failure, number: usize) -> Failure {
    Failure {
        what: format!("line {number}: {}", failure.what),
        ..failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whole_and_bounded() {
        let mut input: &[u8] = b"one\ntwo";
        assert_eq!(read_line(&mut input), Ok(Some("one\n".to_owned())));
        assert_eq!(read_line(&mut input), Ok(Some("two".to_owned())));
        assert_eq!(read_line(&mut input), Ok(None));
        let mut endless = std::io::BufReader::new(std::io::repeat(b'x'));
        assert!(read_line(&mut endless).is_err());
        let mut binary: &[u8] = b"\xff\n";
        assert!(read_line(&mut binary).is_err());
    }
}
