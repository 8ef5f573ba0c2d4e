//! The verbs of the shell: their names, what they take, and what `help` says of them.

use crate::failure::Failure;

/// Something the shell can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Connect,
    GetInfo,
    Save,
    Find,
    Remove,
    Path,
    Buckets,
    Mb,
    Rb,
    Use,
    Ls,
    Put,
    Update,
    Get,
    Cat,
    Stat,
    Rm,
    Members,
    Events,
    Help,
    Quit,
}

/// What an argument names, for completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// Nothing that could be completed.
    Anything,
    /// A key of the current bucket.
    Key,
    /// A bucket.
    Bucket,
    /// A file here.
    File,
    /// A verb.
    Verb,
}

/// A verb as people meet it.
#[derive(Debug)]
pub struct Entry {
    /// Which it is.
    pub verb: Verb,
    /// What it is called.
    pub name: &'static str,
    /// What it takes, as `help` shows it.
    pub takes: &'static str,
    /// Fewest and most arguments.
    pub count: (usize, usize),
    /// What each argument names.
    pub names: &'static [Names],
    /// One line.
    pub summary: &'static str,
    /// What one line cannot say; may be empty.
    pub more: &'static str,
}

const MANY: usize = usize::MAX;

/// All verbs, in the order in which `help` shows them.
pub const VERBS: &[Entry] = &[
    Entry {
        verb: Verb::Connect,
        name: "connect",
        takes: "ADDR",
        count: (1, 1),
        names: &[Names::Anything],
        summary: "talk to the node or gateway at this REST address",
        more: "ADDR is HOST:PORT or a URL. Objects then go through the S3 port of the same node, if it tells one.",
    },
    Entry {
        verb: Verb::GetInfo,
        name: "get_info",
        takes: "[all]",
        count: (0, 1),
        names: &[Names::Anything],
        summary: "the connected node's place on the ring and its fingers; of all members with `all`",
        more: "Without a node connected it lists the members, each with its id and addresses.",
    },
    Entry {
        verb: Verb::Save,
        name: "save",
        takes: "KEY TEXT",
        count: (2, MANY),
        names: &[Names::Key],
        summary: "keep a text under a new key, and say in which nodes",
        more: "Refused when the key exists, naming the nodes that hold it. It looks first and writes then: two shells that save \
               one key in the same moment may both succeed, and the later one counts, until the cluster has conditional writes. \
               The default bucket is made when it is first needed.",
    },
    Entry {
        verb: Verb::Find,
        name: "find",
        takes: "KEY",
        count: (1, 1),
        names: &[Names::Key],
        summary: "which node owns a key, and which others are its homes",
        more: "A key has an owner whether or not anything is saved under it.",
    },
    Entry {
        verb: Verb::Remove,
        name: "remove",
        takes: "KEY",
        count: (1, 1),
        names: &[Names::Key],
        summary: "remove a key, and say from which nodes",
        more: "",
    },
    Entry {
        verb: Verb::Path,
        name: "path",
        takes: "KEY",
        count: (1, 1),
        names: &[Names::Key],
        summary: "hop by hop, how a Chord lookup finds a key from the connected node",
        more: "",
    },
    Entry {
        verb: Verb::Buckets,
        name: "buckets",
        takes: "",
        count: (0, 0),
        names: &[],
        summary: "list the buckets",
        more: "",
    },
    Entry {
        verb: Verb::Mb,
        name: "mb",
        takes: "BUCKET",
        count: (1, 1),
        names: &[Names::Anything],
        summary: "make a bucket",
        more: "",
    },
    Entry {
        verb: Verb::Rb,
        name: "rb",
        takes: "BUCKET",
        count: (1, 1),
        names: &[Names::Bucket],
        summary: "remove an empty bucket",
        more: "",
    },
    Entry {
        verb: Verb::Use,
        name: "use",
        takes: "BUCKET",
        count: (1, 1),
        names: &[Names::Bucket],
        summary: "work in this bucket from now on",
        more: "A new shell works in the bucket `shell`.",
    },
    Entry {
        verb: Verb::Ls,
        name: "ls",
        takes: "[PREFIX]",
        count: (0, 1),
        names: &[Names::Key],
        summary: "list the keys of the bucket",
        more: "What goes on behind a slash is grouped; `ls photos/` looks into the group.",
    },
    Entry {
        verb: Verb::Put,
        name: "put",
        takes: "FILE [KEY]",
        count: (1, 2),
        names: &[Names::File, Names::Key],
        summary: "store a file, under its own name if no key is given",
        more: "What is there under that key is replaced.",
    },
    Entry {
        verb: Verb::Update,
        name: "update",
        takes: "FILE [KEY]",
        count: (1, 2),
        names: &[Names::File, Names::Key],
        summary: "replace an object by a file; refused when there is none",
        more: "",
    },
    Entry {
        verb: Verb::Get,
        name: "get",
        takes: "KEY [FILE]",
        count: (1, 2),
        names: &[Names::Key, Names::File],
        summary: "fetch an object into a file, called like the key if no name is given",
        more: "The file appears once it is whole, and replaces one of the same name.",
    },
    Entry {
        verb: Verb::Cat,
        name: "cat",
        takes: "KEY",
        count: (1, 1),
        names: &[Names::Key],
        summary: "show an object",
        more: "",
    },
    Entry {
        verb: Verb::Stat,
        name: "stat",
        takes: "KEY",
        count: (1, 1),
        names: &[Names::Key],
        summary: "what is known of an object, and the clock of each node that holds it",
        more: "",
    },
    Entry {
        verb: Verb::Rm,
        name: "rm",
        takes: "KEY...",
        count: (1, MANY),
        names: &[Names::Key],
        summary: "remove objects, whether or not they are there",
        more: "",
    },
    Entry {
        verb: Verb::Members,
        name: "members",
        takes: "",
        count: (0, 0),
        names: &[],
        summary: "every member of the cluster: state, disk, addresses",
        more: "",
    },
    Entry {
        verb: Verb::Events,
        name: "events",
        takes: "[SECONDS]",
        count: (0, 1),
        names: &[Names::Anything],
        summary: "what happens in the cluster, as it happens, for 10 seconds or so many",
        more: "Ctrl-C ends it sooner.",
    },
    Entry {
        verb: Verb::Help,
        name: "help",
        takes: "[VERB]",
        count: (0, 1),
        names: &[Names::Verb],
        summary: "this list, or more about one verb",
        more: "Words are separated by blanks; put what has blanks in it into '…' or \"…\". A line that begins with # says nothing. \
               Tab completes verbs, keys, buckets and files; the arrows and Ctrl-R bring back earlier lines.",
    },
    Entry {
        verb: Verb::Quit,
        name: "quit",
        takes: "",
        count: (0, 0),
        names: &[],
        summary: "leave; Ctrl-D does it too",
        more: "",
    },
];

/// The verb of this name.
pub fn find(name: &str) -> Result<&'static Entry, Failure> {
    let meant = if name == "exit" { "quit" } else { name };
    VERBS.iter().find(|entry| entry.name == meant).ok_or_else(|| {
        let advice = match nearest(name) {
            Some(nearest) => format!("did you mean `{nearest}`? `help` lists all verbs"),
            None => "`help` lists all verbs".to_owned(),
        };
        Failure::usage(format!("there is no verb `{name}`"), advice)
    })
}

/// The verb that was probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |entry: &Entry| strsim::jaro_winkler(entry.name, &name.to_lowercase());
    let likely = VERBS.iter().filter(|entry| likeness(entry) > 0.75);
    let best = likely.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.map(|entry| entry.name)
}

impl Entry {
    /// Refuses too few or too many arguments.
    pub fn check(&self, count: usize) -> Result<(), Failure> {
        let (least, most) = self.count;
        let what = match count {
            _ if count < least => format!("`{}` needs more", self.name),
            _ if count > most => format!("`{}` takes no more than that", self.name),
            _ => return Ok(()),
        };
        Err(Failure::usage(what, format!("write: {}", self.usage())))
    }

    /// What this argument names.
    pub fn names_at(&self, index: usize) -> Names {
        let last = self
            .names
            .last()
            .filter(|_| self.count.1 == MANY && self.verb != Verb::Save);
        *self.names.get(index).or(last).unwrap_or(&Names::Anything)
    }

    fn usage(&self) -> String {
        format!("{} {}", self.name, self.takes).trim_end().to_owned()
    }
}

/// All verbs, or more about one.
pub fn help(name: Option<&str>) -> Result<String, Failure> {
    let Some(name) = name else {
        let lines: Vec<String> = VERBS
            .iter()
            .map(|entry| format!("{:19} {}", entry.usage(), entry.summary))
            .collect();
        return Ok(lines.join("\n"));
    };
    let entry = find(name)?;
    let more = entry.more.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = format!("{}\n  {}\n  {more}", entry.usage(), entry.summary);
    Ok(told.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_found_by_its_own_name_alone() {
        for entry in VERBS {
            let found = find(entry.name).expect("known");
            assert_eq!((found.verb, found.name), (entry.verb, entry.name));
            assert!(entry.count.0 <= entry.count.1 && !entry.summary.is_empty());
        }
        assert_eq!(find("exit").expect("known").verb, Verb::Quit);
    }

    #[test]
    fn who_mistypes_is_told_what_was_meant() {
        for (typed, meant) in [
            ("conect", "connect"),
            ("getinfo", "get_info"),
            ("SAVE", "save"),
            ("bucket", "buckets"),
        ] {
            let failure = find(typed).expect_err(typed);
            assert!(
                failure.advice.contains(&format!("`{meant}`")),
                "{typed}: {}",
                failure.advice
            );
        }
        let failure = find("xyzzy").expect_err("unknown");
        assert!(!failure.advice.contains("did you mean"), "{}", failure.advice);
    }

    #[test]
    fn arguments_are_counted() {
        assert!(
            find("save")
                .expect("known")
                .check(1)
                .expect_err("too few")
                .advice
                .contains("save KEY TEXT")
        );
        assert!(find("save").expect("known").check(9).is_ok());
        assert!(find("quit").expect("known").check(1).is_err());
    }

    #[test]
    fn help_tells_of_all_or_of_one() {
        let all = help(None).expect("told");
        assert_eq!(all.lines().count(), VERBS.len());
        assert!(help(Some("save")).expect("told").contains("conditional writes"));
        assert!(help(Some("sav")).is_err());
    }
}
