//! `repair`: has every member check and repair all that it holds, now, and shows how far they are.
//!
//! Each node does its own part and answers for itself alone, so every one is asked at the address that it told the others, or
//! at one of those given if it answers there. A node that cannot be reached is named and left out: the rest is worth having,
//! and the exit code says that it was not everything. The nodes do the work by themselves: whoever stops watching stops
//! nothing.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::join_all;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::client::connection::RestArgs;
use crate::client::print::Printer;
use crate::client::progress::Board;
use crate::client::repair_told::{Left, Outcome, line_of, number_at, outcome_of};
use crate::client::rest::{Rest, list, text};
use crate::failure::{Exit, Failure, State};

/// Check and repair everything that the cluster holds, now: every disk is read, all copies are compared
#[derive(Args, Debug)]
pub struct Repair {
    /// Only this node, by name or id
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Return as soon as it has begun
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub rest: RestArgs,
}

/// Between two looks, while it may be over at once and later.
const LOOK_SOON: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(500);
/// So many looks are soon.
const LOOKS_SOON: u32 = 10;
/// An answer takes no longer, unless the node is frozen.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A node that says nothing for so long is not waited for.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// A member that takes part, or should.
pub struct Watched {
    pub name: String,
    id: String,
    rest: Option<Rest>,
    pub state: Watch,
    /// What it last said of its repair.
    pub report: Value,
    heard: Instant,
}

/// How a member takes part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Watch {
    /// Its repair is under way.
    Running,
    /// It is over.
    Over,
    /// It does not take part, or nobody knows what came of it.
    Left(Left),
}

/// Runs `repair`.
pub async fn run(args: Repair, json: bool) -> Result<(), Failure> {
    let mut members = find(&args).await?;
    begin(&mut members).await?;
    if args.detach {
        return tell_begun(&members, json);
    }
    let board = Board::new("repair", json);
    tokio::select! {
        () = watch(&mut members, &board) => board.finish(),
        _ = tokio::signal::ctrl_c() => {
            board.finish();
            return Err(left_running(&args));
        }
    }
    tell(&members, json)
}

/// The members that are wanted, each with its own REST endpoint.
async fn find(args: &Repair) -> Result<Vec<Watched>, Failure> {
    let answer = Rest::from_args(&args.rest)?.get(&["cluster"], &[]).await?;
    let is_wanted = |member: &&Value| {
        let known = [text(member, "name"), text(member, "id")];
        args.node.as_deref().is_none_or(|wanted| known.contains(&Some(wanted)))
    };
    let members: Vec<&Value> = list(&answer, "members").iter().filter(is_wanted).collect();
    if members.is_empty() {
        let node = args.node.as_deref().unwrap_or("?");
        return Err(Failure::new(
            format!("the cluster has no node {node}"),
            "`holdfast cluster members` names them all",
        )
        .exit(Exit::NotFound));
    }
    let given = args.rest.endpoints()?.into_iter();
    let reached = join_all(given.map(|endpoint| who_is_at(&args.rest, endpoint))).await;
    let reached: Vec<(String, Url)> = reached.into_iter().flatten().collect();
    let endpoint_of = |member: &Value| {
        let known = reached.iter().find(|(id, _)| text(member, "id") == Some(id.as_str()));
        let told = || text(member, "rest").and_then(|told| Url::parse(told).ok());
        known.map(|(_, endpoint)| endpoint.clone()).or_else(told)
    };
    let watched = members.into_iter().map(|member| {
        let rest = endpoint_of(member).map(|endpoint| Rest::at(&args.rest, vec![endpoint]));
        Ok(Watched {
            name: text(member, "name").unwrap_or("?").to_owned(),
            id: text(member, "id").unwrap_or_default().to_owned(),
            rest: rest.transpose()?,
            state: Watch::Running,
            report: Value::Null,
            heard: Instant::now(),
        })
    });
    watched.collect()
}

/// Which node answers at an endpoint.
async fn who_is_at(args: &RestArgs, endpoint: Url) -> Option<(String, Url)> {
    let rest = Rest::at(args, vec![endpoint.clone()]).ok()?;
    let answer = timeout(ANSWER_WITHIN, rest.get(&["cluster"], &[])).await.ok()?.ok()?;
    Some((text(answer.get("node")?, "id")?.to_owned(), endpoint))
}

/// Asks all of them to begin. A token that is wrong for one is wrong for all.
async fn begin(members: &mut [Watched]) -> Result<(), Failure> {
    let asked = members.iter().map(|member| async move {
        let Some(rest) = &member.rest else {
            return Err(None);
        };
        match timeout(ANSWER_WITHIN, rest.post(&["repair"], json!({}))).await {
            Ok(answer) => answer.map_err(Some),
            Err(_) => Err(None),
        }
    });
    let answers = join_all(asked).await;
    for (member, answer) in members.iter_mut().zip(answers) {
        match answer {
            Ok(answer) if !is_of(member, &answer) => member.state = Watch::Left(Left::Elsewhere),
            Ok(answer) => member.take(&answer),
            Err(Some(denied)) if denied.exit == Exit::Denied => return Err(denied),
            Err(Some(refused)) if refused.exit != Exit::Unavailable => {
                member.state = Watch::Left(Left::Refused(refused.what));
            }
            Err(_) => member.state = Watch::Left(Left::Down),
        }
    }
    Ok(())
}

/// What answers at an address may be another node: addresses change hands.
fn is_of(member: &Watched, answer: &Value) -> bool {
    answer.get("node").and_then(|node| text(node, "id")) == Some(member.id.as_str())
}

impl Watched {
    fn take(&mut self, answer: &Value) {
        self.heard = Instant::now();
        match answer.get("repair") {
            Some(report) if report.is_object() => {
                self.report = report.clone();
                let is_running = report.get("running").and_then(Value::as_bool).unwrap_or(false);
                self.state = if is_running { Watch::Running } else { Watch::Over };
            }
            _ => self.state = Watch::Left(Left::Restarted),
        }
    }
}

/// Looks until none of them is at it any more.
async fn watch(members: &mut [Watched], board: &Board) {
    let mut looks = 0;
    loop {
        show(members, board);
        if members.iter().all(|member| member.state != Watch::Running) {
            return;
        }
        sleep(if looks < LOOKS_SOON { LOOK_SOON } else { LOOK }).await;
        looks += 1;
        let running = members.iter_mut().filter(|member| member.state == Watch::Running);
        join_all(running.map(look)).await;
    }
}

async fn look(member: &mut Watched) {
    let Some(rest) = &member.rest else { return };
    match timeout(ANSWER_WITHIN, rest.get(&["repair"], &[])).await {
        Ok(Ok(answer)) if is_of(member, &answer) => member.take(&answer),
        _ if member.heard.elapsed() > LOST_AFTER => member.state = Watch::Left(Left::Lost),
        _ => {}
    }
}

/// The share of all is the mean of the shares of those that take part: none of them goes back.
fn show(members: &[Watched], board: &Board) {
    let taking_part = members.iter().filter(|member| member.report.is_object());
    let percents: Vec<f64> = taking_part.map(Watched::percent).collect();
    let lines: Vec<String> = members.iter().map(line_of).collect();
    board.show(percents.iter().sum::<f64>() / percents.len().max(1) as f64, &lines);
}

impl Watched {
    /// One that says this, for tests of what is made of it.
    #[cfg(test)]
    pub fn with(name: &str, state: Watch, report: Value) -> Self {
        Self {
            name: name.to_owned(),
            id: String::new(),
            rest: None,
            state,
            report,
            heard: Instant::now(),
        }
    }

    /// How much of its repair is done.
    pub fn percent(&self) -> f64 {
        self.report.get("percent").and_then(Value::as_f64).unwrap_or_default()
    }
}

fn tell_begun(members: &[Watched], json: bool) -> Result<(), Failure> {
    let mut out = Printer::new(json);
    let mut left = Vec::new();
    for member in members {
        let sentence = match &member.state {
            Watch::Left(why) => {
                left.push(member.name.as_str());
                format!("{}  {why}", member.name)
            }
            _ => format!("{}  has begun", member.name),
        };
        out.line(sentence, || value_of(member))?;
    }
    out.finish()?;
    match left.as_slice() {
        [] => Ok(()),
        left => Err(Failure::new(
            format!("the repair was not begun on {}", left.join(", ")),
            "start what is down, and run `holdfast repair` again; the others go on meanwhile",
        )
        .state(State::Partly("the others repair by themselves".to_owned()))
        .exit(Exit::Partly)),
    }
}

fn tell(members: &[Watched], json: bool) -> Result<(), Failure> {
    let mut out = Printer::new(json);
    for member in members {
        out.line(line_of(member), || value_of(member))?;
    }
    let Outcome {
        sentence,
        total,
        failure,
    } = outcome_of(members);
    out.line(&sentence, || total)?;
    out.finish()?;
    failure.map_or(Ok(()), Err)
}

fn value_of(member: &Watched) -> Value {
    let state = match &member.state {
        Watch::Running => "running",
        Watch::Over => "over",
        Watch::Left(why) => why.word(),
    };
    json!({ "node": member.name, "state": state, "repair": member.report })
}

fn left_running(args: &Repair) -> Failure {
    let node = args.node.as_ref().map(|node| format!(" --node {node}"));
    Failure::new(
        "interrupted: nobody watches the repair any more, and it goes on",
        format!("watch it again with `holdfast repair{}`", node.unwrap_or_default()),
    )
    .state(State::Partly(
        "the nodes repair by themselves; each says in its log and events when it is done".to_owned(),
    ))
    .exit(Exit::Interrupted)
}

/// A number of all reports together.
pub fn sum(members: &[Watched], path: &[&str]) -> u64 {
    members.iter().map(|member| number_at(&member.report, path)).sum()
}
