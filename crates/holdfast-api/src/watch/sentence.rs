//! One sentence on how the cluster is: what an operator wants to know in the first second.
//!
//! It is computed from what the node asked knows, claims nothing beyond that, and says three things where they apply: who is
//! missing and since when, whether acknowledged writes are at risk, and what is under way about it. The worst comes first.

use holdfast_core::gossip::MemberState;
use holdfast_core::gossip::facts::{Hinted, Soundness};
use holdfast_core::ids::NodeId;
use holdfast_core::repair::RepairReport;

use crate::objects::{ClusterView, MemberView, Ring};

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Level {
    /// Nothing to do.
    Good,
    /// Something is away or under way, and nothing is at risk.
    Watch,
    /// Data or service is at risk: act.
    Alarm,
}

impl Level {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Watch => "watch",
            Self::Alarm => "alarm",
        }
    }
}

/// The sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sentence {
    pub(crate) level: Level,
    pub(crate) text: String,
}

/// What it is computed from.
pub(crate) struct Known<'a> {
    pub(crate) view: &'a ClusterView,
    pub(crate) ring: Option<&'a Ring>,
    pub(crate) repair: &'a RepairReport,
    /// Writes that a holder keeps for a home, as far as holders told: (holder, home, count).
    pub(crate) hints: &'a [(NodeId, NodeId, u64)],
    pub(crate) now_ms: u64,
}

/// Homes that a partition of an ordinary bucket has.
const HOMES: usize = 3;

impl Known<'_> {
    pub(crate) fn sentence(&self) -> Sentence {
        let parts = [
            self.damage(),
            self.missing(),
            self.filling(),
            self.clock(),
            self.unsafe_sync(),
            self.waiting(),
            self.repairing(),
        ];
        let mut parts: Vec<(Level, String)> = parts.into_iter().flatten().collect();
        if self.view.members.iter().all(|member| member.up) {
            parts.push(self.all_up(parts.is_empty()));
        }
        // Stable, so that equals stay in the order above.
        parts.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
        let level = parts.first().map_or(Level::Good, |(level, _)| *level);
        let text: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
        Sentence {
            level,
            text: text.join(" "),
        }
    }

    fn all_up(&self, alone: bool) -> (Level, String) {
        let count = self.view.members.iter().filter(|member| member.up).count();
        let up = match count {
            1 => "The one node is up.".to_owned(),
            _ => format!("All {count} nodes up."),
        };
        let more = " No write waits for a node, no damage is known.";
        (Level::Good, if alone { up + more } else { up })
    }

    /// What could not be healed, and what was found and is being healed.
    fn damage(&self) -> Option<(Level, String)> {
        if self.repair.unhealed > 0 {
            let count = counted(self.repair.unhealed, "object", "objects");
            return Some((
                Level::Alarm,
                format!("{count} could not be healed: the last repair names them."),
            ));
        }
        let scrub = self.view.checked.scrub;
        if scrub.damaged > 0 && scrub.is_running {
            let count = counted(scrub.damaged, "copy", "copies");
            return Some((
                Level::Watch,
                format!("{count} on this node's disk were damaged and are written again from others."),
            ));
        }
        None
    }

    fn missing(&self) -> Option<(Level, String)> {
        let members = &self.view.members;
        let (kept, down): (Vec<&MemberView>, Vec<&MemberView>) = members
            .iter()
            .filter(|member| !member.up)
            .partition(|member| member.maintenance);
        let all = members.len();
        let up = all - kept.len() - down.len();
        if kept.len() + down.len() == 0 {
            return None;
        }
        let mut said = Vec::new();
        if !down.is_empty() {
            said.push(self.who_is_down(&down));
        }
        for member in &kept {
            said.push(format!("{} is down for maintenance.", member.name));
        }
        if up * 2 <= all {
            said.push(format!(
                "Only {up} of {all} nodes can be reached: most writes are refused."
            ));
            return Some((Level::Alarm, said.join(" ")));
        }
        if let Some(risk) = self.at_risk() {
            said.push(risk);
            return Some((Level::Alarm, said.join(" ")));
        }
        said.push(self.nothing_lost(kept.iter().chain(&down).map(|member| member.id).collect()));
        Some((Level::Watch, said.join(" ")))
    }

    fn who_is_down(&self, down: &[&MemberView]) -> String {
        match down {
            [one] => format!("{} {}.", one.name, self.gone(one)),
            [one, other] => format!("{} {}, {} {}.", one.name, self.gone(one), other.name, self.gone(other)),
            many => {
                let latest = many.iter().max_by_key(|member| member.since_ms);
                let latest = latest.map_or_else(String::new, |member| {
                    format!(": {} most recently, it {}", member.name, self.gone(member))
                });
                format!("{} nodes are down{latest}.", many.len())
            }
        }
    }

    /// Gossip needs some seconds to agree that somebody is away whose connection broke; until then its time is of something
    /// else.
    fn gone(&self, member: &MemberView) -> String {
        let lasted = lasted(self.now_ms.saturating_sub(member.since_ms));
        match member.state {
            MemberState::Up | MemberState::Suspect => "was lost just now".to_owned(),
            MemberState::Unheard => "has not been heard of since this node started".to_owned(),
            MemberState::Down => format!("is down for {lasted}"),
            MemberState::Stopped => format!("is stopped for {lasted}"),
        }
    }

    /// Whether some partition has fewer than two homes left.
    fn at_risk(&self) -> Option<String> {
        let ring = self.ring?;
        let up: Vec<bool> = ring
            .members
            .iter()
            .map(|id| self.view.members.iter().any(|member| member.id == *id && member.up))
            .collect();
        let is_up = |index: &u16| up.get(usize::from(*index)).copied().unwrap_or(false);
        let short = |list: &&Vec<u16>| {
            let homes = &list[..list.len().min(HOMES)];
            homes.len() > 1 && homes.iter().filter(|home| is_up(home)).count() < 2
        };
        let count = ring.lists.iter().filter(short).count();
        let percent = (count * 100).div_ceil(ring.lists.len().max(1));
        (count > 0).then(|| {
            format!(
                "{percent} % of the ring has fewer than two homes up: objects there may not be readable until one returns. \
                 Start a node again."
            )
        })
    }

    /// What waits for those that are away, and where.
    fn nothing_lost(&self, away: Vec<NodeId>) -> String {
        let waiting = self.hints.iter().filter(|(_, home, _)| away.contains(home));
        let count: u64 = waiting.clone().map(|(_, _, count)| count).sum();
        let whom = if away.len() == 1 { "it" } else { "them" };
        let mut holders: Vec<NodeId> = waiting.map(|(holder, ..)| *holder).collect();
        let silent = self.silent_holders();
        let is_more = !silent.is_empty();
        holders.extend(silent);
        holders.sort_unstable();
        holders.dedup();
        let mut names: Vec<String> = holders.iter().map(|holder| self.name(*holder)).collect();
        names.sort();
        let waits = match (count, is_more) {
            (0, false) => return format!("Nothing is lost: no write waits for {whom} yet."),
            (0, true) => "writes wait".to_owned(),
            (1, false) => "1 write waits".to_owned(),
            (_, false) => format!("{} writes wait", grouped(count)),
            (_, true) => format!("at least {} wait", counted(count, "write", "writes")),
        };
        format!("Nothing is lost: {waits} for {whom} on {}.", listed(&names))
    }

    /// Members that hold hints for somebody, as gossip says, and have not told how many.
    fn silent_holders(&self) -> Vec<NodeId> {
        let holds = |member: &&MemberView| {
            let hinted = member.facts.as_ref().map(|facts| &facts.hinted);
            match hinted {
                Some(Hinted::Only(partitions)) => !partitions.is_empty(),
                Some(Hinted::Many) => true,
                None => false,
            }
        };
        let has_told = |member: &&MemberView| self.hints.iter().any(|(holder, ..)| *holder == member.id);
        let others = self
            .view
            .members
            .iter()
            .filter(|member| member.up && member.id != self.view.node);
        let silent = others.filter(|member| holds(member) && !has_told(member));
        silent.map(|member| member.id).collect()
    }

    /// Writes that wait although everybody they wait for is up: they are on their way.
    fn waiting(&self) -> Option<(Level, String)> {
        let is_up = |home: &NodeId| self.view.members.iter().any(|member| member.id == *home && member.up);
        let travelling = self.hints.iter().filter(|(_, home, _)| is_up(home));
        let count: u64 = travelling.clone().map(|(_, _, count)| count).sum();
        let mut homes: Vec<NodeId> = travelling.map(|(_, home, _)| *home).collect();
        homes.sort_unstable();
        homes.dedup();
        let names: Vec<String> = homes.iter().map(|home| self.name(*home)).collect();
        (count > 0).then(|| {
            let is = if count == 1 { "is" } else { "are" };
            let count = counted(count, "write", "writes");
            (
                Level::Watch,
                format!("{count} {is} on the way home to {}.", listed(&names)),
            )
        })
    }

    fn filling(&self) -> Option<(Level, String)> {
        let lost = |member: &&MemberView| {
            let told = member.facts.as_ref().map(|facts| facts.soundness);
            let state = if member.id == self.view.node {
                Some(self.view.soundness)
            } else {
                told
            };
            member.up && state == Some(Soundness::Filling)
        };
        let names: Vec<String> = self.view.members.iter().filter(lost).map(|m| m.name.clone()).collect();
        (!names.is_empty()).then(|| {
            (
                Level::Watch,
                format!(
                    "{} lost its disk and takes back from the others what it should hold; it answers no reads until then.",
                    listed(&names)
                ),
            )
        })
    }

    fn clock(&self) -> Option<(Level, String)> {
        let off = self.view.clock_off_ms?;
        let way = if off < 0 { "behind" } else { "ahead of" };
        let by = lasted(off.unsigned_abs());
        Some((
            Level::Watch,
            format!("This node's clock is {by} {way} the others': set it, for instance with NTP."),
        ))
    }

    fn unsafe_sync(&self) -> Option<(Level, String)> {
        self.view.unsafe_no_sync.then(|| {
            let said = "This node answers writes before its disk has them: a power cut loses some.";
            (Level::Watch, said.to_owned())
        })
    }

    fn repairing(&self) -> Option<(Level, String)> {
        if !self.repair.is_running {
            return None;
        }
        let percent = self.repair.permille() / 10;
        let elapsed_ms = self.now_ms.saturating_sub(self.repair.begun_ms);
        let left = match u64::from(percent) {
            0..3 => String::new(),
            done => format!(", about {} left", lasted(elapsed_ms * (100 - done.min(100)) / done)),
        };
        Some((Level::Watch, format!("Repair is running: {percent} % done{left}.")))
    }

    fn name(&self, id: NodeId) -> String {
        let member = self.view.members.iter().find(|member| member.id == id);
        member.map_or_else(|| id.to_string(), |member| member.name.clone())
    }
}

/// A span of time in one unit, as people say it.
fn lasted(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5_400 => format!("{} min", (seconds + 30) / 60),
        5_400..172_800 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// Digits in threes.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Names listed before the rest is only counted.
const LISTED_MAX: usize = 4;

/// `a`, `a and b`, `a, b, c and d`, `a, b, c and 7 others`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [some @ .., last] if names.len() <= LISTED_MAX => format!("{} and {last}", some.join(", ")),
        _ => {
            let (some, others) = names.split_at(LISTED_MAX - 1);
            format!("{} and {} others", some.join(", "), others.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::gossip::facts::NodeFacts;
    use holdfast_core::ids::{ActorId, Tick};
    use holdfast_core::repair::RepairReport;

    use super::*;

    const NOW_MS: u64 = 1_000_000_000;

    fn member(number: u64) -> MemberView {
        MemberView {
            id: NodeId(number),
            name: format!("node-{number}"),
            zone: "z".to_owned(),
            address: String::new(),
            s3: String::new(),
            rest: String::new(),
            capacity_bytes: 1,
            up: true,
            state: MemberState::Up,
            since_ms: NOW_MS - 1_000,
            maintenance: false,
            clock_ahead_ms: None,
            facts: None,
            hints_owed: 0,
        }
    }

    fn holds_hints() -> NodeFacts {
        NodeFacts {
            actor: ActorId(1),
            boot: 1,
            epoch: 1,
            format_level: 1,
            disk_used_bytes: 0,
            disk_total_bytes: 0,
            hinted: Hinted::Many,
            run: 1,
            tick_bound: Tick(0),
            soundness: Soundness::Sound,
            is_ending: false,
        }
    }

    struct Story {
        view: ClusterView,
        ring: Ring,
        repair: RepairReport,
        hints: Vec<(NodeId, NodeId, u64)>,
    }

    impl Story {
        /// So many nodes, each partition with the homes p, p + 1 and p + 2.
        fn of(nodes: u64) -> Self {
            Self {
                view: ClusterView {
                    registered_with: None,
                    node: NodeId(1),
                    cluster: String::new(),
                    epoch: 1,
                    partitions: 8,
                    members: (1..=nodes).map(member).collect(),
                    unsafe_no_sync: false,
                    clock_off_ms: None,
                    forgetting: Default::default(),
                    checked: Default::default(),
                    soundness: Soundness::Sound,
                    load: Default::default(),
                },
                ring: Ring {
                    epoch: 1,
                    partition_bits: 3,
                    members: (1..=nodes).map(NodeId).collect(),
                    lists: (0..8)
                        .map(|at| (0..nodes.min(4)).map(|more| ((at + more) % nodes) as u16).collect())
                        .collect(),
                },
                repair: RepairReport::default(),
                hints: Vec::new(),
            }
        }

        fn down(mut self, number: u64, for_ms: u64) -> Self {
            let member = &mut self.view.members[number as usize - 1];
            member.up = false;
            member.state = MemberState::Down;
            member.since_ms = NOW_MS - for_ms;
            self
        }

        fn told(&self) -> (Level, String) {
            let sentence = Known {
                view: &self.view,
                ring: Some(&self.ring),
                repair: &self.repair,
                hints: &self.hints,
                now_ms: NOW_MS,
            }
            .sentence();
            (sentence.level, sentence.text)
        }
    }

    #[test]
    fn all_is_well() {
        let (level, text) = Story::of(5).told();
        assert_eq!(level, Level::Good);
        assert_eq!(text, "All 5 nodes up. No write waits for a node, no damage is known.");
        assert_eq!(
            Story::of(1).told().1,
            "The one node is up. No write waits for a node, no damage is known."
        );
    }

    #[test]
    fn one_is_down_and_nothing_is_lost() {
        let mut story = Story::of(5).down(2, 4 * 60_000);
        story.hints = vec![(NodeId(4), NodeId(2), 800), (NodeId(5), NodeId(2), 1_012)];
        let (level, text) = story.told();
        assert_eq!(level, Level::Watch);
        assert_eq!(
            text,
            "node-2 is down for 4 min. Nothing is lost: 1,812 writes wait for it on node-4 and node-5."
        );
        let (_, text) = Story::of(5).down(2, 12_000).told();
        assert_eq!(
            text,
            "node-2 is down for 12 s. Nothing is lost: no write waits for it yet."
        );
    }

    /// A page that was just opened said that all writes wait on the node asked, since the others had not told yet.
    #[test]
    fn holders_that_have_not_told_how_many_are_named() {
        let mut story = Story::of(5).down(2, 12_000);
        story.view.members[3].facts = Some(holds_hints());
        assert!(
            story
                .told()
                .1
                .ends_with("Nothing is lost: writes wait for it on node-4.")
        );
        story.hints = vec![(NodeId(1), NodeId(2), 392)];
        assert!(
            story
                .told()
                .1
                .ends_with("Nothing is lost: at least 392 writes wait for it on node-1 and node-4.")
        );
    }

    #[test]
    fn two_homes_of_a_partition_are_a_risk() {
        let (level, text) = Story::of(5).down(2, 60_000).down(3, 120_000).told();
        assert_eq!(level, Level::Alarm);
        assert!(
            text.starts_with("node-2 is down for 60 s, node-3 is down for 2 min. 50 % of the ring has fewer"),
            "{text}"
        );
        // Too far apart to share a partition.
        let (level, text) = Story::of(8).down(1, 60_000).down(5, 60_000).told();
        assert_eq!(level, Level::Watch, "{text}");
    }

    /// A node was killed and at once said to be down since it had last come up.
    #[test]
    fn who_was_lost_just_now_is_not_down_since_it_came_up() {
        let mut story = Story::of(5).down(2, 3_600_000);
        story.view.members[1].state = MemberState::Up;
        let (_, text) = story.told();
        assert!(text.starts_with("node-2 was lost just now. Nothing is lost"), "{text}");
        story.view.members[1].state = MemberState::Stopped;
        let (_, text) = story.told();
        assert!(text.starts_with("node-2 is stopped for 60 min."), "{text}");
    }

    #[test]
    fn a_minority_is_told_first() {
        let (level, text) = Story::of(3).down(2, 1_000).down(3, 1_000).told();
        assert_eq!(level, Level::Alarm);
        assert!(text.contains("Only 1 of 3 nodes can be reached"), "{text}");
    }

    #[test]
    fn maintenance_is_not_a_failure() {
        let mut story = Story::of(5).down(3, 7_200_000);
        story.view.members[2].maintenance = true;
        let (level, text) = story.told();
        assert_eq!(level, Level::Watch);
        assert_eq!(
            text,
            "node-3 is down for maintenance. Nothing is lost: no write waits for it yet."
        );
    }

    #[test]
    fn writes_travel_home_and_repairs_run() {
        let mut story = Story::of(3);
        story.hints = vec![(NodeId(1), NodeId(2), 3)];
        assert_eq!(
            story.told().1,
            "3 writes are on the way home to node-2. All 3 nodes up."
        );
        story.hints.clear();
        story.repair.is_running = true;
        story.repair.begun_ms = NOW_MS - 1_000;
        let (level, text) = story.told();
        assert_eq!(
            (level, text.as_str()),
            (Level::Watch, "Repair is running: 0 % done. All 3 nodes up.")
        );
    }

    #[test]
    fn what_cannot_be_healed_comes_first() {
        let mut story = Story::of(5).down(2, 60_000);
        story.repair.unhealed = 3;
        let (level, text) = story.told();
        assert_eq!(level, Level::Alarm);
        assert!(text.starts_with("3 objects could not be healed"), "{text}");
        assert!(text.contains("node-2 is down"), "{text}");
    }

    #[test]
    fn what_only_this_node_knows_of_itself_is_told() {
        let mut story = Story::of(3);
        story.view.clock_off_ms = Some(-45_000);
        story.view.unsafe_no_sync = true;
        story.view.soundness = Soundness::Filling;
        let (_, text) = story.told();
        for part in [
            "node-1 lost its disk",
            "clock is 45 s behind the others'",
            "before its disk has them",
            "All 3 nodes up.",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
