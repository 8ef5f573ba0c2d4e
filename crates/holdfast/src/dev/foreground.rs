//! `dev` itself: makes the cluster or takes it up again, starts it, tells how to use it, and, unless detached, stays
//! and stops it on Ctrl-C.

use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::client::print::Printer;
use crate::dev::env_file::quote;
use crate::dev::start::Started;
use crate::dev::state::{Cluster, Lock, State, make_dir, random_text};
use crate::dev::{Start, certificate, env_file, start, stop};
use crate::failure::{Failure, local};

const NODES: usize = 3;
const PORT_BASE: u16 = 9000;

/// Runs `dev`.
pub async fn run(args: Start, json: bool) -> Result<(), Failure> {
    let temporary = args.data.is_none();
    if temporary && args.detach {
        return Err(Failure::usage(
            "a detached cluster needs a directory, by which it can be stopped again",
            "give --data DIR",
        ));
    }
    let dir = match &args.data {
        Some(dir) => dir.clone(),
        None => temporary_dir()?,
    };
    let done = run_in(&dir, &args, temporary, json).await;
    match &done {
        Ok(()) if temporary => {
            // Its nodes have been stopped by now.
            std::fs::remove_dir_all(&dir)
                .map_err(|error| local(format!("the temporary directory {} stays", dir.display()), &error))?;
            say(json, format_args!("{} removed", dir.display()));
        }
        Err(_) if temporary => say(json, format_args!("{} is kept for its logs", dir.display())),
        _ => {}
    }
    done
}

/// A remark for people; programs have the output.
fn say(json: bool, text: std::fmt::Arguments<'_>) {
    if !json {
        eprintln!("{text}");
    }
}

async fn run_in(dir: &Path, args: &Start, temporary: bool, json: bool) -> Result<(), Failure> {
    make_dir(dir)?;
    let lock = Lock::take(dir)?;
    let cluster = match Cluster::load(dir)? {
        Some(cluster) => taken_up(cluster, args)?,
        None => made(dir, args)?,
    };
    let mut interrupted = Interrupted::listen()?;
    say(
        json,
        format_args!("starting {} nodes in {}", cluster.state.nodes, cluster.dir.display()),
    );
    let mut started = tokio::select! {
        started = start::all(&cluster) => started?,
        () = interrupted.wait() => {
            stop::all(&cluster).await;
            return Err(Failure::new("interrupted while starting", "start it again when you like"));
        }
    };
    let pids: Vec<i32> = started.iter().map(|entry| entry.process.pid).collect();
    if let Some(path) = &args.env_file
        && let Err(failure) = env_file::write(path, &cluster, &pids)
    {
        stop::all(&cluster).await;
        return Err(failure);
    }
    tell(&cluster, args, &pids, temporary, json)?;
    drop(lock);
    if args.detach {
        return Ok(());
    }
    watch(&cluster, &mut started, interrupted, json).await;
    let _lock = Lock::take(dir)?;
    stop::all(&cluster).await;
    say(json, format_args!("all nodes stopped"));
    if !temporary {
        let dir = quote(&dir.to_string_lossy());
        say(json, format_args!("the same cluster again: holdfast dev --data {dir}"));
    }
    Ok(())
}

/// Takes up the cluster of a directory. What the flags say must be what it is.
fn taken_up(cluster: Cluster, args: &Start) -> Result<Cluster, Failure> {
    let state = &cluster.state;
    let differs = |what: &str, is: String| {
        Err(Failure::usage(
            format!("the cluster in {} has {what} {is}", cluster.dir.display()),
            "leave the flag out, or start another cluster in another --data",
        ))
    };
    if args.nodes.is_some_and(|nodes| nodes != state.nodes) {
        return differs("nodes:", state.nodes.to_string());
    }
    if args.port_base.is_some_and(|port| port != state.port_base) {
        return differs("the port base", state.port_base.to_string());
    }
    if args.tls && !state.tls {
        return differs("no TLS:", "it was started without --tls".to_owned());
    }
    if args.unsafe_no_sync && !state.unsafe_no_sync {
        return differs("synced writes:", "it was started without --unsafe-no-sync".to_owned());
    }
    if !args.set.is_empty() {
        return differs("settings of its own:", format!("{:?}", state.settings));
    }
    if cluster.nodes().iter().all(|node| node.process().is_some()) {
        return Err(Failure::new(
            format!("the cluster in {} runs already", cluster.dir.display()),
            format!(
                "see it with `holdfast dev status --data {0}`, or end it with `holdfast dev stop --data {0}`",
                quote(&cluster.dir.to_string_lossy())
            ),
        ));
    }
    Ok(cluster)
}

fn made(dir: &Path, args: &Start) -> Result<Cluster, Failure> {
    let state = State::new(
        args.nodes.unwrap_or(NODES),
        args.port_base.unwrap_or(PORT_BASE),
        args.tls,
        args.unsafe_no_sync,
    )?
    .with_settings(&args.set)?;
    let cluster = Cluster::create(dir, state)?;
    if cluster.state.tls {
        certificate::write(&cluster.dir.join("tls"))?;
    }
    Ok(cluster)
}

fn temporary_dir() -> Result<PathBuf, Failure> {
    let name = format!(
        "holdfast-dev-{}",
        random_text(8, b"abcdefghijklmnopqrstuvwxyz0123456789")?
    );
    Ok(std::env::temp_dir().join(name))
}

fn tell(cluster: &Cluster, args: &Start, pids: &[i32], temporary: bool, json: bool) -> Result<(), Failure> {
    let mut out = Printer::new(json);
    let nodes = cluster.nodes();
    let s3: Vec<String> = nodes.iter().map(|node| cluster.s3_endpoint(node)).collect();
    let rest: Vec<String> = nodes.iter().map(|node| cluster.rest_endpoint(node)).collect();
    let state = &cluster.state;
    if json {
        out.line("", || {
            json!({
                "data": cluster.dir, "s3": s3, "rest": rest, "pids": pids, "region": state.region,
                "access_key": state.access_key, "secret_key": state.secret_key, "admin_token": state.admin_token,
                "ca_bundle": cluster.ca_bundle(),
            })
        })?;
        return out.finish();
    }
    let bundle = cluster
        .ca_bundle()
        .map(|path| format!(" AWS_CA_BUNDLE={}", quote(&path.to_string_lossy())));
    let shown_env = args.env_file.as_ref().map(|path| quote(&path.to_string_lossy()));
    let stop = match (args.detach, temporary) {
        (true, _) => format!("holdfast dev stop --data {}", quote(&cluster.dir.to_string_lossy())),
        (false, true) => "Ctrl-C; the data is in a temporary directory and is removed then".to_owned(),
        (false, false) => "Ctrl-C; the data is kept".to_owned(),
    };
    let mut lines = vec![format!("{} nodes ready", nodes.len())];
    for ((node, s3), (rest, pid)) in nodes.iter().zip(&s3).zip(rest.iter().zip(pids)) {
        lines.push(format!("  {:8}  S3 {s3}   REST {rest}   pid {pid}", node.name()));
    }
    lines.push(format!("access key   {}", state.access_key));
    lines.push(format!("secret key   {}", state.secret_key));
    lines.push(format!("admin token  {}", state.admin_token));
    lines.push(format!("region       {}", state.region));
    lines.push(format!("data         {}", cluster.dir.display()));
    if state.unsafe_no_sync {
        lines.push("WARNING      writes are acknowledged before they are on disk (--unsafe-no-sync)".to_owned());
    }
    lines.push(format!("stop with    {stop}"));
    lines.push(String::new());
    lines.push(format!(
        "AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} AWS_REGION={}{} aws --endpoint-url {} s3 mb s3://my-bucket",
        quote(&state.access_key),
        quote(&state.secret_key),
        quote(&state.region),
        bundle.unwrap_or_default(),
        s3.first().map_or("", String::as_str),
    ));
    if let Some(env) = shown_env {
        lines.push(format!(". {env}; holdfast mb hf://my-bucket"));
    }
    for line in lines {
        out.line(line, || json!(null))?;
    }
    out.finish()
}

/// Ctrl-C, or a request to end.
struct Interrupted {
    int: tokio::signal::unix::Signal,
    term: tokio::signal::unix::Signal,
}

impl Interrupted {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| local("signals cannot be received", &error));
        Ok(Self {
            int: listen(SignalKind::interrupt())?,
            term: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

/// Says when a node ends, until interrupted. Waits for processes on threads of their own; nothing is polled.
async fn watch(cluster: &Cluster, started: &mut [Started], mut interrupted: Interrupted, json: bool) {
    let (ends, mut ended) = mpsc::unbounded_channel();
    for entry in started {
        let Some(mut child) = entry.child.take() else { continue };
        let (node, ends) = (entry.node.clone(), ends.clone());
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                let _ = ends.send((node, status));
            }
        });
    }
    loop {
        tokio::select! {
            () = interrupted.wait() => return,
            Some((node, status)) = ended.recv() => {
                if json {
                    eprintln!("{}", json!({ "node": node.index, "ended": status.to_string() }));
                    continue;
                }
                eprintln!("{} ended ({status}); its log: {}", node.name(), node.log().display());
                let dir = quote(&cluster.dir.to_string_lossy());
                eprintln!("start it again: holdfast dev start-node {} --data {dir}", node.index);
            }
        }
    }
}
