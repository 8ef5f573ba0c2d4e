//! The steps of one run, in order: load, the small objects, the large ones, and then silence.

use crate::load::{self, Limit, Stock, Work};
use crate::options::Options;
use crate::procfs;
use crate::report::{IdleReport, Report, Spent, StepReport};
use crate::s3::{Client, RequestFailure};
use crate::sign::Signer;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

const IDLE_MEASURED_S: u64 = 60;
/// A step is judged by its errors: more than this share of them, and its figures mean nothing.
const ERROR_SHARE_MAX: f64 = 0.01;

struct Step {
    name: &'static str,
    work: Work,
    clients: usize,
    /// Bytes of one operation that count against `--large-mib-max`; 0 for small ones, which only time limits.
    counted_bytes: u64,
}

/// Loading takes as many clients as make the groups of one sync large; the others are what the table names.
const STEPS: &[Step] = &[
    Step {
        name: "load",
        work: Work::Load,
        clients: 256,
        counted_bytes: 0,
    },
    Step {
        name: "put-4k",
        work: Work::PutSmall,
        clients: 32,
        counted_bytes: 0,
    },
    Step {
        name: "get-4k",
        work: Work::GetSmall,
        clients: 32,
        counted_bytes: 0,
    },
    Step {
        name: "list-1000",
        work: Work::ListPage,
        clients: 8,
        counted_bytes: 0,
    },
    Step {
        name: "put-1m",
        work: Work::PutMedium,
        clients: 8,
        counted_bytes: load::MEDIUM_BYTES as u64,
    },
    Step {
        name: "get-1m",
        work: Work::GetMedium,
        clients: 8,
        counted_bytes: 0,
    },
    Step {
        name: "put-64m",
        work: Work::PutParts,
        clients: 4,
        counted_bytes: load::PART_BYTES as u64 * load::PARTS as u64,
    },
    Step {
        name: "get-64m",
        work: Work::GetParts,
        clients: 4,
        counted_bytes: 0,
    },
];

/// Why a run ended without all its figures.
#[derive(Debug)]
pub enum RunFailure {
    UnknownStep(String),
    Setup(RequestFailure),
    TooManyErrors {
        step: &'static str,
        errors: u64,
        operations: u64,
    },
    Write(String),
}

impl fmt::Display for RunFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownStep(name) => {
                let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
                write!(out, "there is no step `{name}`; the steps are {}", names.join(", "))
            }
            Self::Setup(RequestFailure(what)) => write!(out, "before the first step: {what}"),
            Self::TooManyErrors {
                step,
                errors,
                operations,
            } => {
                write!(
                    out,
                    "step {step}: {errors} errors beside {operations} operations; its figures mean nothing"
                )
            }
            Self::Write(what) => write!(out, "cannot write the results: {what}"),
        }
    }
}

pub async fn run(options: Options) -> Result<(), RunFailure> {
    let options = options.settled();
    if let Some(unknown) = options
        .steps
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != *name))
    {
        return Err(RunFailure::UnknownStep(unknown.clone()));
    }
    let mut first = clients(&options, 1)?;
    first[0].create_bucket().await.map_err(RunFailure::Setup)?;
    let stock = Rc::new(Stock::new(options.keys));
    let mut report = Report {
        keys_loaded: options.keys,
        endpoints: options.endpoints.len(),
        steps: Vec::new(),
        idle: None,
    };
    let mut failure = None;
    for step in STEPS
        .iter()
        .filter(|step| options.wants(step.name) && stock.has_what_it_needs(step.work))
    {
        let told = one_step(&options, step, &stock).await?;
        told.print();
        let judged = told.errors as f64 > ERROR_SHARE_MAX * (told.operations + told.errors) as f64;
        if judged && failure.is_none() {
            let (errors, operations) = (told.errors, told.operations);
            failure = Some(RunFailure::TooManyErrors {
                step: step.name,
                errors,
                operations,
            });
        }
        report.steps.push(told);
    }
    drop(first);
    if options.idle_after > 0 && !options.pids.is_empty() {
        let idle = measure_idle(&options).await;
        idle.print();
        report.idle = Some(idle);
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| RunFailure::Write(error.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|error| RunFailure::Write(format!("{}: {error}", path.display())))?;
    }
    failure.map_or(Ok(()), Err)
}

/// Clients spread evenly over the endpoints.
fn clients(options: &Options, count: usize) -> Result<Vec<Client>, RunFailure> {
    let endpoints = options.endpoints.iter().cycle().take(count);
    let signer = || Signer::new(&options.access_key, &options.secret_key, &options.region);
    endpoints
        .map(|url| Client::new(url, &options.bucket, signer()).map_err(RunFailure::Setup))
        .collect()
}

async fn one_step(options: &Options, step: &Step, stock: &Rc<Stock>) -> Result<StepReport, RunFailure> {
    let mut clients = clients(options, step.clients)?;
    for client in &mut clients {
        client.connect().await.map_err(RunFailure::Setup)?;
    }
    let large_bytes_max = options.large_mib_max << 20;
    let limit = match (step.work, step.counted_bytes) {
        // Loading ends when all is loaded, however long that takes.
        (Work::Load, _) => Limit {
            time: Duration::MAX,
            operations_max: options.keys,
        },
        (_, 0) => Limit {
            time: Duration::from_secs(options.seconds),
            operations_max: u64::MAX,
        },
        (_, bytes) => Limit {
            time: Duration::from_secs(options.seconds),
            operations_max: (large_bytes_max / bytes).max(1),
        },
    };
    procfs::forget_peaks(&options.pids);
    let (before, own_before) = (procfs::usage(&options.pids), procfs::own_cpu_s());
    let measured = load::drive(&mut clients, step.work, limit, stock).await;
    let generator_cpu_s = procfs::own_cpu_s() - own_before;
    let spent = Spent {
        before,
        after: procfs::usage(&options.pids),
    };
    let spent = (!options.pids.is_empty()).then_some(&spent);
    Ok(StepReport::new(
        step.name,
        step.clients,
        &measured,
        spent,
        generator_cpu_s,
    ))
}

async fn measure_idle(options: &Options) -> IdleReport {
    tokio::time::sleep(Duration::from_secs(options.idle_after)).await;
    let measured_s = if options.quick { 5 } else { IDLE_MEASURED_S };
    let before = procfs::usage(&options.pids);
    tokio::time::sleep(Duration::from_secs(measured_s)).await;
    IdleReport::new(options.idle_after, measured_s, &before, &procfs::usage(&options.pids))
}
