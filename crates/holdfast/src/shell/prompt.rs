//! The shell at a terminal: a prompt, history over sessions, completion.
//!
//! Ctrl-C gives up the line that is being written, or the command that is under way; Ctrl-D on an empty line leaves. A
//! command that fails says so and the shell goes on, so that the end of a session is always a success.

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use tokio::runtime::Runtime;

use super::session::{Next, Session};
use super::verb::{self, Names, VERBS};
use crate::client::rest::{list, text};
use crate::failure::{Exit, Failure, State, local};

/// Lines that are remembered.
const HISTORY_LINES_MAX: usize = 1_000;
/// How long completion may ask the cluster; whoever types must not wait for a node that is away.
const COMPLETION_PATIENCE: Duration = Duration::from_millis(800);
/// Names that completion asks for.
const NAMES_MAX: &str = "100";

/// Reads and runs lines until somebody has had enough.
pub fn run(session: Session, runtime: &Runtime) -> Result<(), Failure> {
    let session = Rc::new(RefCell::new(session));
    let mut editor = editor(Rc::clone(&session), runtime)?;
    let history = history_path();
    if let Some(path) = &history {
        // The first session has none.
        let _ = editor.load_history(path);
    }
    let hello = concat!("holdfast ", env!("CARGO_PKG_VERSION"), "; `help` lists the verbs\n");
    std::io::stdout()
        .write_all(hello.as_bytes())
        .map_err(|error| local("the terminal cannot be written to", &error))?;
    loop {
        let prompt = format!("{}> ", session.borrow().place());
        match editor.readline(&prompt) {
            Ok(line) if line.trim().is_empty() || line.trim_start().starts_with('#') => {}
            Ok(line) => {
                if let Some(path) = &history {
                    // At once: a session that is killed keeps its lines. Without a place for them there are none.
                    let _ = editor.append_history(path);
                }
                let done = runtime.block_on(command(&mut session.borrow_mut(), &line));
                match done {
                    Ok(Next::GoOn) => {}
                    Ok(Next::Quit) => return Ok(()),
                    Err(failure) => failure.report(session.borrow().is_json()),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(no_terminal(&error)),
        }
    }
}

/// Runs one line, unless somebody stops waiting for it.
async fn command(session: &mut Session, line: &str) -> Result<Next, Failure> {
    tokio::select! {
        done = session.run(line) => done,
        _ = tokio::signal::ctrl_c() => Err(
            Failure::new("interrupted", "what was sent before may still happen; look before doing it again")
                .exit(Exit::Interrupted)
                .state(State::Unknown),
        ),
    }
}

fn no_terminal(error: &ReadlineError) -> Failure {
    Failure::new(
        format!("the terminal cannot be used: {error}"),
        "give the commands on standard input: holdfast shell < script",
    )
}

fn editor(session: Rc<RefCell<Session>>, runtime: &Runtime) -> Result<Editor<Guide<'_>, FileHistory>, Failure> {
    let config = Config::builder()
        .auto_add_history(true)
        .history_ignore_space(true)
        .completion_type(CompletionType::List);
    let config = config.max_history_size(HISTORY_LINES_MAX);
    let config = config.and_then(|config| config.history_ignore_dups(true));
    let config = config.map_err(|error| no_terminal(&error))?.build();
    let mut editor = Editor::with_config(config).map_err(|error| no_terminal(&error))?;
    editor.set_helper(Some(Guide {
        session,
        runtime,
        files: FilenameCompleter::new(),
    }));
    Ok(editor)
}

/// Where lines are remembered: `$XDG_STATE_HOME/holdfast`, or the same below the home directory.
fn history_path() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let dir = state.map(PathBuf::from).or_else(home)?.join("holdfast");
    std::fs::create_dir_all(&dir).ok()?;
    Some(dir.join("shell-history"))
}

/// Knows how a line could go on.
struct Guide<'a> {
    session: Rc<RefCell<Session>>,
    runtime: &'a Runtime,
    files: FilenameCompleter,
}

impl Guide<'_> {
    /// Buckets, or keys of the bucket, that begin so. A cluster that does not answer completes nothing.
    fn names(&self, of: Names, start: &str) -> Vec<String> {
        let session = self.session.borrow();
        let Ok(rest) = session.rest() else { return Vec::new() };
        let bucket = session.bucket.clone();
        let asked = async {
            match of {
                Names::Bucket => rest.get(&["buckets"], &[]).await,
                _ => {
                    let query = [("prefix", start), ("limit", NAMES_MAX)];
                    rest.get(&["buckets", &bucket, "objects"], &query).await
                }
            }
        };
        let told = self
            .runtime
            .block_on(async { tokio::time::timeout(COMPLETION_PATIENCE, asked).await });
        let Ok(Ok(told)) = told else { return Vec::new() };
        let (all, field) = match of {
            Names::Bucket => (list(&told, "buckets"), "name"),
            _ => (list(&told, "objects"), "key"),
        };
        let names = all.iter().filter_map(|one| text(one, field));
        names.filter(|name| name.starts_with(start)).map(quoted).collect()
    }
}

impl Completer for Guide<'_> {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (at, wanted) = wanted(&line[..pos]);
        let start = &line[at..pos];
        let names = match wanted {
            Names::File => return self.files.complete(line, pos, context),
            Names::Verb => verbs(start),
            Names::Anything => Vec::new(),
            of => self.names(of, start),
        };
        let pair = |name: String| Pair {
            replacement: format!("{name} "),
            display: name,
        };
        Ok((at, names.into_iter().map(pair).collect()))
    }
}

/// Where the word begins that is being written, and what it should name.
fn wanted(line: &str) -> (usize, Names) {
    let at = line.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
    let mut before = line[..at].split_whitespace();
    let of = match before.next() {
        None => Names::Verb,
        Some(name) => verb::find(name).map_or(Names::Anything, |entry| entry.names_at(before.count())),
    };
    (at, of)
}

fn verbs(start: &str) -> Vec<String> {
    let names = VERBS.iter().map(|entry| entry.name);
    names
        .filter(|name| name.starts_with(start))
        .map(str::to_owned)
        .collect()
}

/// A name as it must be written to be one word.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '\'' | '"' | '\\');
    if name.chars().all(is_plain) {
        return name.to_owned();
    }
    let mut text = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if !is_plain(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

impl Helper for Guide<'_> {}
impl Highlighter for Guide<'_> {}
impl Validator for Guide<'_> {}
impl Hinter for Guide<'_> {
    type Hint = String;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::words::Line;

    #[test]
    fn what_is_being_written_decides_what_completes_it() {
        assert_eq!(wanted(""), (0, Names::Verb));
        assert_eq!(wanted("sa"), (0, Names::Verb));
        assert_eq!(wanted("find ph"), (5, Names::Key));
        assert_eq!(wanted("put a "), (6, Names::Key));
        assert_eq!(wanted("put a"), (4, Names::File));
        assert_eq!(wanted("rm a b c"), (7, Names::Key));
        assert_eq!(wanted("save k te"), (7, Names::Anything));
        assert_eq!(wanted("use b"), (4, Names::Bucket));
        assert_eq!(wanted("nonsense k"), (9, Names::Anything));
        assert_eq!(verbs("re"), ["remove"]);
    }

    #[test]
    fn names_that_are_no_word_are_written_as_one() {
        for name in ["plain/é.jpg", "two words", "it's", r#"a "b" \c"#] {
            let line = format!("cat {}", quoted(name));
            assert_eq!(Line::parse(&line).expect("whole").words(), ["cat", name]);
        }
    }
}
