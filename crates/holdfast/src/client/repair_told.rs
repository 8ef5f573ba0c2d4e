//! A repair in words: a line for each node while it goes on, and a sentence at the end of what was checked, what differed,
//! what was healed, and what could not be.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use crate::client::repair::{Watch, Watched, sum};
use crate::client::rest::{list, text};
use crate::failure::{Exit, Failure, State};
use crate::quantity::show_bytes;

/// Keys that could not be healed are named in the sentence up to so many.
const NAMED_MAX: usize = 5;

/// Why a member does not take part, or is not known to have ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Left {
    /// It cannot be reached.
    Down,
    /// It said no.
    Refused(String),
    /// Another node answers at its address.
    Elsewhere,
    /// It was started anew meanwhile, and has forgotten what it was asked.
    Restarted,
    /// It does not answer any more.
    Lost,
}

impl Left {
    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Refused(_) => "refused",
            Self::Elsewhere => "elsewhere",
            Self::Restarted => "restarted",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => f.write_str("cannot be reached, and was left out"),
            Self::Refused(why) => write!(f, "was left out: {why}"),
            Self::Elsewhere => f.write_str("was left out: another node answers at its address"),
            Self::Restarted => f.write_str("was started anew before its repair was over"),
            Self::Lost => f.write_str("does not answer any more; whether its repair is over is not known"),
        }
    }
}

/// How a repair ended.
pub struct Outcome {
    pub sentence: String,
    /// The same for programs.
    pub total: Value,
    /// Unless everything was checked and is in order.
    pub failure: Option<Failure>,
}

/// A number in a report.
pub fn number_at(report: &Value, path: &[&str]) -> u64 {
    let found = path.iter().try_fold(report, |value, name| value.get(name));
    found.and_then(Value::as_u64).unwrap_or_default()
}

/// A node and how far it is.
pub fn line_of(member: &Watched) -> String {
    let Watched {
        name, state, report, ..
    } = member;
    match state {
        Watch::Left(why) => format!("{name}  {why}"),
        Watch::Running => format!("{name}  {:3.0} %  {}{}", member.percent(), stage(report), found(report)),
        Watch::Over => format!("{name}  checked {}{}", checked(report), found(report)),
    }
}

fn stage(report: &Value) -> String {
    let [records, chunks] = ["records", "chunks"].map(|what| {
        let portion = |end| number_at(report, &[what, end]);
        format!("{} of {} {what}", portion("done"), portion("all"))
    });
    let bytes = |end| show_bytes(number_at(report, &["bytes", end]));
    match text(report, "stage").unwrap_or_default() {
        "starting" => "waits until the disk has been read through after its start".to_owned(),
        "counting" => "counts what there is".to_owned(),
        "records" => format!("reads records: {records}"),
        "chunks" => format!("reads chunks: {chunks}, {} of {}", bytes("done"), bytes("all")),
        "members" => members(report),
        "healing" => "waits for what is being healed".to_owned(),
        _ => "is nearly done".to_owned(),
    }
}

/// With whom a node compares itself, and for whom it waits.
fn members(report: &Value) -> String {
    let in_state = |state: &'static str| {
        let members = list(report, "members").iter();
        let members = members.filter(move |member| text(member, "state") == Some(state));
        members.filter_map(|member| text(member.get("member")?, "name"))
    };
    let down: Vec<&str> = in_state("down").collect();
    match in_state("comparing").next() {
        Some(name) => format!("compares with {name}"),
        None if !down.is_empty() => format!("waits a moment for {}, which it cannot reach", down.join(", ")),
        None => "compares with the others".to_owned(),
    }
}

fn checked(report: &Value) -> String {
    let done = |what| number_at(report, &[what, "done"]);
    format!(
        "{} records and {} chunks ({})",
        done("records"),
        done("chunks"),
        show_bytes(done("bytes"))
    )
}

/// What was found, if anything was.
fn found(report: &Value) -> String {
    let healed = ["records", "chunks", "sent"].map(|what| number_at(report, &["healed", what]));
    let counts = [
        (number_at(report, &["damaged"]), "damaged"),
        (number_at(report, &["differences"]), "different"),
        (healed.iter().sum(), "healed"),
        (number_at(report, &["unhealed", "count"]), "not healed"),
    ];
    let told: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if told.is_empty() {
        String::new()
    } else {
        format!("; {}", told.join(", "))
    }
}

/// What came of it in all.
pub fn outcome_of(members: &[Watched]) -> Outcome {
    let over = members.iter().filter(|member| member.state == Watch::Over).count();
    let [records, chunks, bytes] = ["records", "chunks", "bytes"].map(|what| sum(members, &[what, "done"]));
    let [damaged, differences] = ["damaged", "differences"].map(|what| sum(members, &[what]));
    let healed = ["records", "chunks", "sent"].map(|what| sum(members, &["healed", what]));
    let unhealed = sum(members, &["unhealed", "count"]);
    let left = left_out(members);
    let nodes = if over == 1 { "1 node" } else { &format!("{over} nodes") };
    let mut sentence = format!(
        "Checked {records} records and {chunks} chunks ({}) on {nodes}: ",
        show_bytes(bytes)
    );
    sentence.push_str(&match (damaged, differences) {
        (0, 0) => "nothing was damaged, nothing differed.".to_owned(),
        _ => format!(
            "{damaged} damaged, {differences} different, {} healed.",
            healed.iter().sum::<u64>()
        ),
    });
    let keys = unhealed_keys(members);
    if unhealed > 0 {
        let named: Vec<&str> = keys.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = if keys.len() > NAMED_MAX { " and others" } else { "" };
        let named = if named.is_empty() {
            String::new()
        } else {
            format!(": {}{more}", named.join(", "))
        };
        sentence.push_str(&format!(" {unhealed} could not be healed{named}."));
    }
    for why in &left {
        sentence.push_str(&format!(" {why}."));
    }
    let total = json!({
        "status": sentence, "nodes": over, "records": records, "chunks": chunks, "bytes": bytes,
        "damaged": damaged, "differences": differences,
        "healed": { "records": healed[0], "chunks": healed[1], "sent": healed[2] },
        "unhealed": { "count": unhealed, "keys": keys }, "left_out": left,
    });
    let failure = failure_of(&sentence, unhealed > 0, !left.is_empty());
    Outcome {
        sentence,
        total,
        failure,
    }
}

fn failure_of(sentence: &str, is_unhealed: bool, is_partial: bool) -> Option<Failure> {
    let state = |what: &str| State::Partly(what.to_owned());
    if is_unhealed {
        let advice = "bring back every node and disk that may hold a good copy, and repair again; what none has must be written \
                      again, or deleted";
        let failure = Failure::new(sentence, advice);
        return Some(failure.state(state("everything else is in order")));
    }
    is_partial.then(|| {
        Failure::new(sentence, "start what is down, and run `holdfast repair` again")
            .state(state("what could be reached was checked, and is in order"))
            .exit(Exit::Partly)
    })
}

/// Who was not checked, or not compared with somebody, in sentences without a full stop.
fn left_out(members: &[Watched]) -> Vec<String> {
    let left = |member: &Watched| match &member.state {
        Watch::Left(why) => Some(format!("{} {why}", member.name)),
        _ => None,
    };
    let mut sentences: Vec<String> = members.iter().filter_map(left).collect();
    for member in members.iter().filter(|member| member.state == Watch::Over) {
        let others = list(&member.report, "left_out").iter();
        let others = others.filter_map(|other| text(other, "name")).filter(|name| {
            // It has been said of that one already.
            let is_told = |told: &Watched| told.name == *name && matches!(told.state, Watch::Left(_));
            !members.iter().any(is_told)
        });
        let others: Vec<&str> = others.collect();
        if !others.is_empty() {
            let others = others.join(" and ");
            sentences.push(format!(
                "{} could not compare all that it holds with {others}",
                member.name
            ));
        }
    }
    sentences
}

/// Keys that some node could not heal, each once.
fn unhealed_keys(members: &[Watched]) -> BTreeSet<String> {
    let keys = members
        .iter()
        .filter_map(|member| member.report.get("unhealed"))
        .flat_map(|unhealed| list(unhealed, "keys"));
    let shown = |of: &Value| {
        let (bucket, key) = (text(of, "bucket").unwrap_or("?"), text(of, "key").unwrap_or("?"));
        format!("{bucket}/{key}")
    };
    keys.map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(name: &str, report: Value) -> Watched {
        Watched::with(name, Watch::Over, report)
    }

    fn report(damaged: u64, healed: u64, unhealed: &[&str]) -> Value {
        let keys = unhealed.iter().map(|key| json!({ "bucket": "photos", "key": key }));
        json!({
            "records": { "done": 10, "all": 10 }, "chunks": { "done": 2, "all": 2 }, "bytes": { "done": 2048, "all": 2048 },
            "damaged": damaged, "differences": 0, "healed": { "records": 0, "chunks": healed, "sent": 0 },
            "unhealed": { "count": unhealed.len(), "keys": keys.collect::<Vec<_>>() }, "left_out": [],
        })
    }

    #[test]
    fn all_is_well_in_one_sentence() {
        let outcome = outcome_of(&[over("a", report(0, 0, &[])), over("b", report(0, 0, &[]))]);
        assert_eq!(
            outcome.sentence,
            "Checked 20 records and 4 chunks (4.00 KiB) on 2 nodes: nothing was damaged, nothing differed."
        );
        assert_eq!(outcome.failure, None);
    }

    #[test]
    fn what_was_found_and_healed_is_counted() {
        let outcome = outcome_of(&[over("a", report(1, 1, &[])), over("b", report(0, 0, &[]))]);
        assert!(
            outcome.sentence.ends_with("1 damaged, 0 different, 1 healed."),
            "{}",
            outcome.sentence
        );
        assert_eq!(outcome.failure, None);
    }

    #[test]
    fn who_was_left_out_is_named_and_changes_the_exit_code() {
        let down = Watched::with("b", Watch::Left(Left::Down), Value::Null);
        let mut compared = report(0, 0, &[]);
        compared["left_out"] = json!([{ "name": "b" }]);
        let outcome = outcome_of(&[over("a", compared), down]);
        assert!(
            outcome.sentence.ends_with("b cannot be reached, and was left out."),
            "once is enough: {}",
            outcome.sentence
        );
        assert_eq!(outcome.failure.map(|failure| failure.exit), Some(Exit::Partly));
    }

    #[test]
    fn what_could_not_be_healed_is_named_and_is_a_failure() {
        let down = Watched::with("b", Watch::Left(Left::Down), Value::Null);
        let outcome = outcome_of(&[over("a", report(2, 1, &["cat.jpg"])), down]);
        assert!(
            outcome.sentence.contains("1 could not be healed: photos/cat.jpg."),
            "{}",
            outcome.sentence
        );
        assert_eq!(outcome.failure.map(|failure| failure.exit), Some(Exit::Failed));
    }
}
