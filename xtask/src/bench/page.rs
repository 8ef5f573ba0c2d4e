//! The text of `bench/README.md`: generated table above, notes by people below, kept from run to run.

use crate::json::Json;
use crate::process::{command, output};
use std::fmt::Write;

/// Everything below this line of the page belongs to people.
const NOTES_MARK: &str = "## Notes";

/// What a step may cost at most, and what it measures, in the table's order. CPU is summed over the three nodes.
const BARS: &[(&str, &str, Bar)] = &[
    ("load", "put 4 KiB, 256 clients (loading)", Bar::None),
    (
        "put-4k",
        "put 4 KiB, 32 clients, half overwriting",
        Bar::MsPerOperation(0.6),
    ),
    ("get-4k", "get 4 KiB, 32 clients", Bar::MsPerOperation(0.15)),
    ("list-1000", "page of 1,000 keys, 8 clients", Bar::MsPerOperation(3.0)),
    ("put-1m", "put 1 MiB, 8 clients", Bar::SecondsPerGib(8.0)),
    ("get-1m", "get 1 MiB, 8 clients", Bar::SecondsPerGib(1.2)),
    (
        "put-64m",
        "put 64 MiB in parts of 8 MiB, 4 clients",
        Bar::SecondsPerGib(8.0),
    ),
    ("get-64m", "get 64 MiB, 4 clients", Bar::SecondsPerGib(0.9)),
];

enum Bar {
    None,
    MsPerOperation(f64),
    SecondsPerGib(f64),
}

/// What a reader must know of the machine to judge the figures. No names, no paths.
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub commit: String,
    /// Processes that wanted a core before anything was started. After a build it still tells of the build.
    pub load_before: String,
}

impl Machine {
    /// Asked before the run, so that neither the load nor the commit is what came of it.
    pub fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':')
                .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let memory_kib: f64 = memory
            .split_whitespace()
            .next()
            .and_then(|kib| kib.parse().ok())
            .unwrap_or(0.0);
        let said = |program: &str, arguments: &[&str]| {
            output(command(program).args(arguments))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_kib / 1024.0 / 1024.0,
            // Without the local suffix, which may name somebody's machine.
            kernel: said("uname", &["-sr"]).split('-').next().unwrap_or_default().to_owned(),
            load_before: load_average(),
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
        }
    }
}

/// Of the last minute.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

pub fn render(results: &Json, machine: &Machine, existing: &str) -> String {
    let mut page = String::from(
        "# Measurements\n\n\
         Three nodes and the load generator on one machine, N=3, every write synced on W=2 nodes before it is answered.\n\
         CPU per operation (user and system time of all three nodes) is the figure that holds on other machines; rates\n\
         and latencies are what these cores gave while they also ran the generator.\n\n",
    );
    let Machine {
        load_before,
        cpu,
        cores,
        memory_gib,
        kernel,
        commit,
    } = machine;
    let _ = write!(
        page,
        "Machine: {cpu}, {cores} cores, {memory_gib:.0} GiB of memory, {kernel}; commit {commit}.\n\
         Load average before the run: {load_before}.\n\n"
    );
    let keys = results.field("keys_loaded").and_then(Json::number).unwrap_or(0.0);
    let _ = write!(
        page,
        "Objects of 4 KiB loaded before the small steps: {}.\n\n",
        grouped(keys)
    );
    page.push_str(
        "| step | ops/s | MiB/s | p50 ms | p99 ms | p99.9 ms | server CPU | bar | peak MiB of a node | errors |\n",
    );
    page.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for step in results.field("steps").map(Json::list).unwrap_or_default() {
        page.push_str(&row(step));
    }
    page.push('\n');
    if let Some(idle) = results.field("idle").filter(|idle| **idle != Json::Null) {
        page.push_str(&idle_line(idle));
    }
    page.push_str(
        "## To reproduce\n\n\
         ```sh\n\
         cargo xtask bench                                  # the table above; rewrites this page\n\
         cargo xtask bench --quick                          # a minute, to see that it works\n\
         cargo xtask bench --step put-4k --keys 0           # one step, on an empty cluster\n\
         cargo xtask bench --endpoint http://HOST:PORT --pids PID,PID --json other.json   # any S3 server\n\
         ```\n\n\
         The last form takes its keys from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. The generator signs each\n\
         request and the SHA-256 of its payload, as the aws command line does over plain HTTP, and reads every body to its end.\n\n",
    );
    page.push_str(
        existing
            .find(NOTES_MARK)
            .map_or("## Notes\n\nNone yet.\n", |at| &existing[at..]),
    );
    page
}

fn row(step: &Json) -> String {
    let number = |of: &Json, name: &str| of.field(name).and_then(Json::number);
    let name = step.field("name").and_then(Json::text).unwrap_or("?");
    let known = BARS.iter().find(|(known, _, _)| *known == name);
    let what = known.map_or(name, |(_, what, _)| what);
    let figure =
        |name: &str, digits: usize| number(step, name).map_or_else(String::new, |value| format!("{value:.digits$}"));
    let server = step.field("server").filter(|server| **server != Json::Null);
    let per_operation = server.and_then(|server| number(server, "cpu_ms_per_operation"));
    let per_gib = server.and_then(|server| number(server, "cpu_s_per_gib"));
    let cost = match (per_gib, per_operation) {
        (Some(seconds), _) => format!("{seconds:.2} s/GiB"),
        (None, Some(ms)) => format!("{ms:.3} ms/op"),
        (None, None) => String::new(),
    };
    let bar = match known.map(|(_, _, bar)| bar) {
        Some(Bar::MsPerOperation(most)) => verdict(per_operation, *most, "ms/op"),
        Some(Bar::SecondsPerGib(most)) => verdict(per_gib, *most, "s/GiB"),
        Some(Bar::None) | None => String::new(),
    };
    let peak = server
        .and_then(|server| number(server, "peak_mib"))
        .map_or_else(String::new, |mib| format!("{mib:.0}"));
    let mut line = String::new();
    let _ = writeln!(
        line,
        "| {what} | {} | {} | {} | {} | {} | {cost} | {bar} | {peak} | {} |",
        figure("per_second", 0),
        figure("mib_per_second", 1),
        figure("p50_ms", 2),
        figure("p99_ms", 2),
        figure("p999_ms", 2),
        figure("errors", 0),
    );
    line
}

fn verdict(measured: Option<f64>, most: f64, unit: &str) -> String {
    match measured {
        Some(measured) if measured <= most => format!("≤ {most} {unit}: met"),
        Some(_) => format!("≤ {most} {unit}: **missed**"),
        None => format!("≤ {most} {unit}"),
    }
}

fn idle_line(idle: &Json) -> String {
    let number = |name: &str| idle.field(name).and_then(Json::number).unwrap_or(0.0);
    format!(
        "Idle, {:.0} s after the last request and over {:.0} s: {:.1} MiB resident at most, {:.2} % of a core over all three nodes,\n\
         {:.0} bytes written to disk (bars per node: 40 MiB, 0.1 %, nothing).\n\n",
        number("waited_s"),
        number("measured_s"),
        number("resident_mib"),
        number("cpu_percent_of_a_core"),
        number("written_bytes"),
    )
}

fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            cpu: "A CPU".into(),
            cores: 2,
            memory_gib: 23.4,
            kernel: "Linux 6".into(),
            commit: "abc".into(),
            load_before: "0.1".into(),
        }
    }

    const RESULTS: &str = r#"{"keys_loaded": 1000000, "steps": [
        {"name": "put-4k", "per_second": 1600.4, "mib_per_second": 6.25, "p50_ms": 1, "p99_ms": 2, "p999_ms": 3, "errors": 0,
         "server": {"cpu_ms_per_operation": 0.7, "cpu_s_per_gib": null, "peak_mib": 150.2}},
        {"name": "get-1m", "per_second": 100, "mib_per_second": 100, "p50_ms": 1, "p99_ms": 2, "p999_ms": 3, "errors": 1,
         "server": {"cpu_ms_per_operation": 9, "cpu_s_per_gib": 1.1, "peak_mib": 90}}],
        "idle": {"waited_s": 60, "measured_s": 60, "resident_mib": 38.5, "cpu_percent_of_a_core": 0.05, "written_bytes": 0}}"#;

    #[test]
    fn the_table_tells_each_step_against_its_bar() {
        let page = render(&Json::parse(RESULTS).unwrap(), &machine(), "");
        assert!(page.contains("1,000,000"), "{page}");
        assert!(
            page.contains("| 0.700 ms/op | ≤ 0.6 ms/op: **missed** | 150 | 0 |"),
            "{page}"
        );
        assert!(page.contains("| 1.10 s/GiB | ≤ 1.2 s/GiB: met | 90 | 1 |"), "{page}");
        assert!(page.contains("38.5 MiB resident"), "{page}");
    }

    #[test]
    fn notes_by_people_survive_the_next_run() {
        let results = Json::parse(RESULTS).unwrap();
        let noted = render(&results, &machine(), "").replace("None yet.", "Most of a put is the sync.");
        assert!(render(&results, &machine(), &noted).ends_with("## Notes\n\nMost of a put is the sync.\n"));
    }
}
