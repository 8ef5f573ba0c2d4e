//! `cluster` and `locate`: who is there, who is up, and where a key lives.

use clap::{Args, Subcommand};
use holdfast_core::gossip::CLOCK_OFF_MS;
use serde_json::{Value, json};

use crate::client::connection::RestArgs;
use crate::client::place::Remote;
use crate::client::print::{Printer, table};
use crate::client::rest::{Rest, list, number, text};
use crate::failure::{Exit, Failure};
use crate::quantity::show_bytes;

/// What can be asked of the cluster
#[derive(Subcommand, Debug)]
pub enum ClusterVerb {
    /// Every member: name, zone, state, hints owed to it, disk, addresses; and which node says so
    Members {
        #[command(flatten)]
        rest: RestArgs,
    },
    /// One sentence; exit code 4 when a node is down that is not in maintenance
    Status {
        #[command(flatten)]
        rest: RestArgs,
    },
    /// What happens, as it happens: members that come and go, hints, repairs, siblings, what is forgotten
    Events {
        #[command(flatten)]
        rest: RestArgs,
    },
    /// Say of a node that it is down on purpose, so that nobody is alarmed; --off takes it back
    Maintenance {
        /// Name or id of the node
        node: String,
        /// It is in service again
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        rest: RestArgs,
    },
}

/// Show where a key lives: its place on the ring and its nodes, best first
#[derive(Args, Debug)]
pub struct Locate {
    /// hf://BUCKET/KEY
    pub place: Remote,
    /// Also where each chunk of a large object is
    #[arg(long)]
    pub chunks: bool,
    #[command(flatten)]
    pub rest: RestArgs,
}

/// Runs `cluster …`.
pub async fn run(verb: ClusterVerb, json: bool) -> Result<(), Failure> {
    match verb {
        ClusterVerb::Members { rest } => members(&rest, json).await,
        ClusterVerb::Status { rest } => status(&rest, json).await,
        ClusterVerb::Events { rest } => events(&rest, json).await,
        ClusterVerb::Maintenance { node, off, rest } => maintenance(&rest, &node, !off, json).await,
    }
}

/// Tells what one node sees until that node, or whoever reads, has had enough.
async fn events(rest: &RestArgs, json: bool) -> Result<(), Failure> {
    let mut events = Rest::from_args(rest)?.follow(&["cluster", "events"]).await?;
    while let Some(event) = events.next().await? {
        let mut out = Printer::new(json);
        out.line(sentence_of(&event), || event)?;
        out.finish()?;
    }
    Ok(())
}

/// An event as people read it: when, what, and whatever else it says.
pub fn sentence_of(event: &Value) -> String {
    let more = event.as_object().into_iter().flatten();
    let more = more.filter(|(name, _)| !matches!(name.as_str(), "at" | "event"));
    let more: Vec<String> = more.map(|(name, value)| format!("{name}={}", shown(value))).collect();
    let (at, what) = (text(event, "at").unwrap_or("-"), text(event, "event").unwrap_or("?"));
    format!("{at} {what:17} {}", more.join(" "))
}

/// A node by its name, anything else as it is.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        value => text(value, "name").map_or_else(|| value.to_string(), str::to_owned),
    }
}

async fn maintenance(rest: &RestArgs, node: &str, on: bool, json: bool) -> Result<(), Failure> {
    let rest = Rest::from_args(rest)?;
    let path = ["cluster", "members", node, "maintenance"];
    let answer = if on {
        rest.post(&path, json!({})).await?
    } else {
        rest.delete(&path).await?
    };
    let mut out = Printer::new(json);
    let sentence = format!("{node} is {} maintenance.", if on { "in" } else { "no longer in" });
    out.line(sentence, || answer)?;
    out.finish()
}

/// Shows every member.
pub async fn members(rest: &RestArgs, json: bool) -> Result<(), Failure> {
    let answer = Rest::from_args(rest)?.get(&["cluster"], &[]).await?;
    let seen_from = answer.get("node").and_then(|node| text(node, "name")).unwrap_or("?");
    let mut out = Printer::new(json);
    let mut rows = table(&[
        "node", "name", "zone", "state", "since", "hints", "boot", "disk", "capacity", "address", "s3", "rest",
    ]);
    for member in list(&answer, "members") {
        if json {
            let mut told = member.clone();
            told["seen_from"] = json!(seen_from);
            out.line("", || told)?;
            continue;
        }
        let shown = |field| text(member, field).unwrap_or_default().to_owned();
        let facts = member.get("facts").unwrap_or(&Value::Null);
        let disk = match number(facts, "disk_total_bytes") {
            0 => "-".to_owned(),
            total => format!("{} %", number(facts, "disk_used_bytes").saturating_mul(100) / total),
        };
        let capacity = show_bytes(number(member, "capacity_bytes"));
        rows.add([
            shown("id"),
            shown("name"),
            shown("zone"),
            state(member),
            shown("since"),
            number(member, "hints_owed").to_string(),
            number(facts, "boot").to_string(),
            disk,
            capacity,
            shown("address"),
            shown("s3"),
            shown("rest"),
        ]);
    }
    if !json {
        out.line(rows, || Value::Null)?;
        out.line(seen_by(&answer, seen_from), || Value::Null)?;
    }
    out.finish()
}

/// Who told all this, and how it came to the cluster: of the others only they know that themselves.
fn seen_by(answer: &Value, seen_from: &str) -> String {
    let own = list(answer, "members")
        .iter()
        .find(|member| member.get("self").and_then(Value::as_bool) == Some(true));
    let with = own
        .and_then(|own| own.get("registered_with"))
        .filter(|with| !with.is_null());
    match with {
        None => format!("As seen from {seen_from}."),
        Some(with) if text(with, "name") == Some(seen_from) => {
            format!("As seen from {seen_from}, with which the others registered when the cluster was founded.")
        }
        Some(with) => format!(
            "As seen from {seen_from}, which registered with {} at {} when the cluster was founded.",
            text(with, "name").unwrap_or("?"),
            text(with, "address").unwrap_or("?")
        ),
    }
}

/// A gateway cannot tell how the cluster is, only whether it reaches any of it.
fn status_of_gateway(answer: Value, json: bool) -> Result<(), Failure> {
    let sentence = text(&answer, "sentence").unwrap_or("?").to_owned();
    if text(&answer, "level") == Some("alarm") {
        return Err(Failure::new(sentence, "look at the nodes, and at the network between").exit(Exit::Unavailable));
    }
    let mut out = Printer::new(json);
    out.line(sentence, || answer)?;
    out.finish()
}

async fn status(rest: &RestArgs, json: bool) -> Result<(), Failure> {
    let answer = Rest::from_args(rest)?.get(&["cluster"], &[]).await?;
    if text(&answer, "role") == Some("gateway") {
        return status_of_gateway(answer, json);
    }
    let members = list(&answer, "members");
    let down: Vec<&str> = members
        .iter()
        .filter(|member| !is_up(member) && !is_in_maintenance(member))
        .map(|member| text(member, "name").unwrap_or("?"))
        .collect();
    let absent = members
        .iter()
        .filter(|member| !is_up(member) && is_in_maintenance(member));
    let absent = absent.count();
    let mut sentence = match down.as_slice() {
        [] if members.len() == 1 => "The one node is up.".to_owned(),
        [] if absent > 0 => format!(
            "{} of {} nodes up; {absent} in maintenance.",
            members.len() - absent,
            members.len()
        ),
        [] => format!("All {} nodes up.", members.len()),
        [one] => format!(
            "{one} is down; {} of {} nodes up.",
            members.len() - 1 - absent,
            members.len()
        ),
        more => format!(
            "{} are down; {} of {} nodes up.",
            more.join(", "),
            members.len() - more.len() - absent,
            members.len()
        ),
    };
    let unsafe_no_sync = answer.get("unsafe_no_sync").and_then(Value::as_bool).unwrap_or(false);
    if unsafe_no_sync {
        let node = answer.get("node").and_then(|node| text(node, "name")).unwrap_or("it");
        sentence.push_str(&format!(
            " UNSAFE: {node} acknowledges writes before they are on disk (--unsafe-no-sync); a power cut loses them."
        ));
    }
    for (node, ahead_ms) in wrong_clocks(&answer, members) {
        let (seconds, side) = (
            ahead_ms.unsigned_abs() / 1_000,
            if ahead_ms > 0 { "ahead" } else { "behind" },
        );
        sentence.push_str(&format!(
            " The clock of {node} is {seconds} s {side}: set it, for instance with NTP."
        ));
    }
    for node in filling(members) {
        sentence.push_str(&format!(
            " {node} lost its disk, or had an old copy of it: it is being filled from the others, and answers no reads itself."
        ));
    }
    let forgetting = answer.get("forgetting").cloned().unwrap_or_default();
    if let Some(holder) = forgetting.get("held_by").and_then(|node| text(node, "name")) {
        let bytes = show_bytes(number(&forgetting, "bytes"));
        let why = text(&forgetting, "held_because").unwrap_or("not ready");
        sentence.push_str(&format!(
            " The space of {bytes} that were overwritten or deleted waits for {holder} ({why})."
        ));
    }
    let mut out = Printer::new(json);
    out.line(&sentence, || {
        json!({
            "nodes": members.len(), "down": down, "maintenance": absent, "status": sentence,
            "unsafe_no_sync": unsafe_no_sync, "forgetting": forgetting,
        })
    })?;
    out.finish()?;
    if down.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        sentence,
        "start what is down; `holdfast cluster members` has the addresses",
    )
    .exit(Exit::Unavailable))
}

/// Whose clock is wrong, and by how much it is ahead (negative: behind). A node that is wrong itself sees all others wrong.
fn wrong_clocks<'a>(answer: &'a Value, members: &'a [Value]) -> Vec<(&'a str, i64)> {
    if let Some(off_ms) = answer.get("clock_off_ms").and_then(Value::as_i64) {
        let node = answer.get("node").and_then(|node| text(node, "name")).unwrap_or("it");
        return vec![(node, off_ms)];
    }
    let ahead_ms = |member: &Value| member.get("clock_ahead_ms").and_then(Value::as_i64);
    members
        .iter()
        .filter_map(|member| Some((text(member, "name").unwrap_or("?"), ahead_ms(member)?)))
        .filter(|(_, ahead_ms)| ahead_ms.unsigned_abs() > CLOCK_OFF_MS)
        .collect()
}

/// Who takes back from the others what its disk should hold.
fn filling(members: &[Value]) -> impl Iterator<Item = &str> {
    let is_filling = |member: &&Value| {
        let facts = member.get("facts");
        is_up(member) && facts.and_then(|facts| text(facts, "soundness")) == Some("filling")
    };
    members
        .iter()
        .filter(is_filling)
        .map(|member| text(member, "name").unwrap_or("?"))
}

fn is_up(member: &Value) -> bool {
    member.get("up").and_then(Value::as_bool).unwrap_or(false)
}

fn is_in_maintenance(member: &Value) -> bool {
    member.get("maintenance").and_then(Value::as_bool).unwrap_or(false)
}

/// What to show of a member's state: whoever is not used is down for this node, whatever gossip says.
fn state(member: &Value) -> String {
    let state = match (is_up(member), text(member, "state")) {
        (true, Some(state)) => state,
        (true, None) => "up",
        (false, Some("stopped")) => "stopped",
        (false, _) => "down",
    };
    if is_in_maintenance(member) {
        format!("{state}, maintenance")
    } else {
        state.to_owned()
    }
}

/// Runs `locate`.
pub async fn locate(args: Locate, json: bool) -> Result<(), Failure> {
    let key = args.place.object()?;
    let rest = Rest::from_args(&args.rest)?;
    let answer = rest
        .get(&["buckets", &args.place.bucket, "locate"], &[("key", key)])
        .await?;
    let mut out = Printer::new(json);
    if json {
        out.line("", || answer)?;
        if args.chunks {
            chunks(&rest, &args.place, &mut out).await?;
        }
        return out.finish();
    }
    out.line(
        format!("position   {}", text(&answer, "position").unwrap_or("?")),
        || Value::Null,
    )?;
    out.line(format!("partition  {}", number(&answer, "partition")), || Value::Null)?;
    let homes = number(&answer, "homes");
    for (at, node) in list(&answer, "preference_list").iter().enumerate() {
        let role = if (at as u64) < homes { "home" } else { "stand-in" };
        let name = node
            .as_str()
            .or_else(|| text(node, "name"))
            .or_else(|| text(node, "id"))
            .unwrap_or("?");
        out.line(format!("{role:9}  {name}"), || Value::Null)?;
    }
    if args.chunks {
        chunks(&rest, &args.place, &mut out).await?;
    }
    out.finish()
}

/// Where each chunk is, page by page; nothing for an object that has none.
async fn chunks(rest: &Rest, place: &Remote, out: &mut Printer) -> Result<(), Failure> {
    let mut from = 0;
    loop {
        let page = rest
            .get(
                &["buckets", &place.bucket, "transfers", &place.key],
                &[("from", &from.to_string())],
            )
            .await?;
        let nodes = list(&page, "nodes");
        let name = |at: &Value| Some(text(nodes.get(usize::try_from(at.as_u64()?).ok()?)?, "name")?.to_owned());
        for part in list(&page, "parts") {
            let (size, chunk_bytes) = (number(part, "size"), number(part, "chunk_bytes").max(1));
            for (index, homes) in list(part, "homes").iter().enumerate() {
                let within = index as u64 * chunk_bytes;
                let (offset, bytes) = (
                    number(part, "offset") + within,
                    chunk_bytes.min(size.saturating_sub(within)),
                );
                let homes: Vec<String> = homes.as_array().into_iter().flatten().filter_map(name).collect();
                let text = format!("chunk at {offset:>14}  {:>10}  {}", show_bytes(bytes), homes.join(" "));
                out.line(text, || json!({ "offset": offset, "bytes": bytes, "homes": homes }))?;
            }
        }
        match page.get("next").and_then(Value::as_u64).filter(|next| *next > from) {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}
