//! Data directories that cannot be used: each is refused with a message that says what to do, and left as it was.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use holdfast_core::storage::{Space, WriteSeq};
use holdfast_store::{Engine, OpenError, Options};

use crate::subject::{OnDisk, Recorder, Subject, TempDir, chunk};

fn open(directory: &Path) -> Result<Engine, OpenError> {
    Engine::open(directory, Options::default(), Arc::new(Recorder::default()))
}

fn refused(directory: &Path) -> OpenError {
    let error = open(directory).expect_err("refused");
    let text = error.to_string();
    assert!(
        text.contains(directory.to_str().expect("text")),
        "names the place: {text}"
    );
    assert!(text.contains(':'), "says what to do: {text}");
    error
}

#[test]
fn a_directory_is_made_with_its_parents() {
    let temporary = TempDir::new("made");
    let directory = temporary.path().join("a/b/c");
    drop(open(&directory).expect("made"));
    assert_eq!(
        fs::read_to_string(directory.join("FORMAT")).expect("readable"),
        "holdfast-store 1\n"
    );
    drop(open(&directory).expect("opened again"));
}

#[test]
fn two_at_once_are_refused() {
    let mut subject = OnDisk::new("locked");
    assert!(matches!(refused(&subject.directory.clone()), OpenError::Locked { .. }));
    assert_eq!(subject.put(Space::Rows, "a", "1"), WriteSeq(1));
    subject.close();
    drop(open(&subject.directory).expect("free again"));
}

#[test]
fn a_file_in_its_place_is_refused() {
    let temporary = TempDir::new("file");
    let path = temporary.path().join("data");
    fs::write(&path, "precious").expect("written");
    assert!(matches!(refused(&path), OpenError::NotADirectory { .. }));
    assert!(matches!(refused(&path.join("below")), OpenError::NotADirectory { .. }));
    assert_eq!(fs::read_to_string(&path).expect("readable"), "precious");
}

#[test]
fn a_directory_that_must_not_be_touched_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let temporary = TempDir::new("permission");
    let directory = temporary.path().join("data");
    fs::create_dir(&directory).expect("made");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o500)).expect("set");
    // The superuser may write anywhere.
    if fs::write(directory.join("probe"), "").is_err() {
        assert!(matches!(refused(&directory), OpenError::PermissionDenied { .. }));
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("set");
}

#[test]
fn a_newer_format_is_refused() {
    let mut subject = OnDisk::new("newer");
    subject.close();
    fs::write(subject.directory.join("FORMAT"), "holdfast-store 2\n").expect("written");
    assert!(matches!(
        refused(&subject.directory),
        OpenError::NewerFormat {
            found: 2,
            supported: 1,
            ..
        }
    ));
}

#[test]
fn missing_parts_are_damage_and_not_a_new_beginning() {
    for lost in ["FORMAT", "rows", "segments", "rows/version"] {
        let mut subject = OnDisk::new("missing");
        subject.put(Space::Rows, "a", "1");
        let (header, body) = chunk(1, 100);
        assert_eq!(subject.write_chunk(&header, &body), Ok(()));
        subject.close();
        let path = subject.directory.join(lost);
        let aside = subject.directory.with_file_name("aside");
        fs::rename(&path, &aside).expect("moved");
        let error = open(&subject.directory).expect_err("refused");
        assert!(matches!(error, OpenError::Damaged { .. }), "without {lost}: {error}");
        // What was refused can be put right: nothing was thrown away.
        fs::rename(&aside, &path).expect("moved back");
        subject.open();
        assert_eq!(subject.get(Space::Rows, "a").as_deref(), Some("1"), "without {lost}");
        assert_eq!(subject.read_chunk(&header, 0, 100), Ok(Some(body)));
    }
}

/// A node that was killed in the first milliseconds of its first start had a journal and no more, and did not start again:
/// "rows is not a directory".
#[test]
fn a_beginning_that_was_cut_short_is_begun_again() {
    let whole = OnDisk::new("whole");
    for made in ["journal", "journal, and the mark that it is made"] {
        let temporary = TempDir::new("cut-short");
        let directory = temporary.path().join("data");
        let rows = directory.join("rows");
        fs::create_dir_all(rows.join("keyspaces")).expect("made");
        fs::create_dir(directory.join("segments")).expect("made");
        fs::write(rows.join("lock"), "").expect("written");
        let journal = fs::File::create(rows.join("0.jnl")).expect("made");
        journal.set_len(32 << 20).expect("as long as fjall makes it");
        if made.contains("mark") {
            fs::copy(whole.directory.join("rows/version"), rows.join("version")).expect("copied");
        }
        drop(open(&directory).unwrap_or_else(|error| panic!("{made}: {error}")));
        drop(open(&directory).expect("opened again"));
    }
}

#[test]
fn a_journal_that_holds_something_is_not_taken_for_a_beginning() {
    let temporary = TempDir::new("holds-something");
    let directory = temporary.path().join("data");
    fs::create_dir_all(directory.join("rows")).expect("made");
    let journal = directory.join("rows/0.jnl");
    fs::write(&journal, "\0\0\0rows").expect("written");
    open(&directory).expect_err("refused");
    assert_eq!(fs::read(&journal).expect("still there"), b"\0\0\0rows");
}

#[test]
fn an_unreadable_format_is_damage() {
    for text in [
        "",
        "holdfast-store",
        "holdfast-store 0\n",
        "holdfast-store 1",
        "something else\n",
    ] {
        let mut subject = OnDisk::new("format");
        subject.close();
        fs::write(subject.directory.join("FORMAT"), text).expect("written");
        assert!(matches!(
            open(&subject.directory).expect_err("refused"),
            OpenError::Damaged { .. }
        ));
    }
}

#[test]
fn a_making_that_was_interrupted_is_finished() {
    let temporary = TempDir::new("interrupted");
    let directory = temporary.path().join("data");
    // As after a crash between any two steps of a first open.
    for made in [&["rows"][..], &["rows", "segments"]] {
        for name in made {
            fs::create_dir_all(directory.join(name)).expect("made");
        }
        fs::write(directory.join("FORMAT.new"), "holdf").expect("written");
        drop(open(&directory).expect("finished"));
        fs::remove_file(directory.join("FORMAT")).expect("removed");
        drop(open(&directory).expect("holds nothing, so it counts as new"));
        fs::remove_dir_all(&directory).expect("removed");
    }
}

/// Not with `Io`, which says that the disk is broken, and reads to a client like damage.
#[test]
fn a_chunk_beyond_the_queue_is_refused_as_too_much() {
    use holdfast_core::storage::ChunkWriteError;
    let options = Options {
        chunk_queue_bytes_max: 1_000,
        ..Options::default()
    };
    let mut subject = OnDisk::with_options("queue", options);
    let (large, large_body) = chunk(1, 1_001);
    assert_eq!(
        subject.write_chunk(&large, &large_body),
        Err(ChunkWriteError::Overloaded)
    );
    assert_eq!(subject.read_chunk(&large, 0, 10), Ok(None));
    // What was written does not count any more.
    for number in 2..6 {
        let (header, body) = chunk(number, 900);
        assert_eq!(subject.write_chunk(&header, &body), Ok(()));
    }
}

#[test]
fn a_full_disk_refuses_chunks_but_takes_rows() {
    use holdfast_core::storage::{ChunkWriteError, Storage};
    let options = Options {
        reserve_bytes: Some(u64::MAX),
        ..Options::default()
    };
    let mut subject = OnDisk::with_options("full", options);
    assert!(subject.engine().is_full());
    let (header, body) = chunk(1, 100);
    assert_eq!(subject.write_chunk(&header, &body), Err(ChunkWriteError::DiskFull));
    assert_eq!(subject.read_chunk(&header, 0, 10), Ok(None));
    subject.put(Space::Rows, "a", "1");
    subject.sync();
    assert!(subject.recorder.failure().is_none());
}
