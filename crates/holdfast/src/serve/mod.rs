//! `holdfast server`: one real node, from its configuration to its last sync.
//!
//! The order is the point: everything that can be wrong with the machine is found before anything is written (clock,
//! ports, directory), the node belongs to a cluster before its store is opened, and its front ends open last. At the
//! end the same in reverse: stop accepting, let requests finish, sync, mark the end as clean (rule D2 saves a new life
//! for every key by it). A second signal ends the process at once; a `kill -9` loses nothing acknowledged either.

mod admission;
mod again;
mod birth;
pub mod bounds;
mod data_dir;
pub mod logging;
pub mod machine;
mod ports;
mod secrets;
pub mod signals;
mod warnings;

use std::sync::Arc;
use std::time::Duration;

use holdfast_api::serve::{ApiConfig, Frontends, Limits, TlsFiles};
use holdfast_node::founding::{RegisteredWith, late_answers};
use holdfast_node::identity::Identity;
use holdfast_node::shell::{End, Shell, ShellConfig};
use holdfast_store::Options;
use tracing::{error, info};

use crate::allocator;
use crate::config::{Config, DiskLost, LogFormat, ServerArgs, load};
use crate::failure::{Failure, State, local};
use crate::port::Port;
use bounds::Bounds;
use data_dir::DataDir;
use signals::{Signals, Told};

/// Where a founder leaves the token for those who read files rather than logs.
pub const JOIN_TOKEN_FILE: &str = "join-token";

/// How long requests under way may take to finish at the end. Below the 30 s that most supervisors wait before they
/// kill, with some left for the last sync.
pub const DRAIN: Duration = Duration::from_secs(20);

/// Runs `server`.
pub fn run(args: ServerArgs) -> Result<(), Failure> {
    let check = args.check;
    let config = load(args)?;
    if check {
        return warnings::print_settings(&config);
    }
    logging::start(&config)?;
    let as_json = config.log_format == LogFormat::Json;
    machine::check_clock()?;
    let bounds = bounds::decide(&config, machine::raise_open_files());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("holdfast")
        .build()
        .map_err(|error| local("threads could not be started", &error))?;
    let ended = runtime.block_on(node(config, bounds));
    let ended = ended.and_then(|next| match next {
        Next::Over => Ok(()),
        Next::Anew => Err(again::start()),
    });
    // What still runs after the drain is not waited for: nothing unsynced is left.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(failure) = &ended
        && as_json
    {
        // Whoever reads JSON reads nothing else; people get the three lines that every command ends with.
        error!(advice = failure.advice, state = %failure.state, "{}", failure.what);
        std::process::exit(failure.exit as i32);
    }
    ended
}

/// What follows when a node has ended in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// Nothing.
    Over,
    /// It starts again, on an empty store.
    Anew,
}

async fn node(config: Config, bounds: Bounds) -> Result<Next, Failure> {
    let mut signals = Signals::listen()?;
    let listener = ports::open(&config).await?;
    let data_dir = DataDir::open(&config.data)?;
    info!(version = env!("CARGO_PKG_VERSION"), data = %data_dir.path().display(), name = config.name, "Holdfast starts");
    warnings::log(&config);
    let identity = match Identity::load(data_dir.path()).map_err(identity_failure)? {
        Some(identity) => {
            birth::compare(&identity, &config);
            identity
        }
        None => {
            tokio::select! {
                born = birth::born(&config, &data_dir, Arc::clone(&listener)) => born?,
                () = signals.end() => {
                    info!("ended before the cluster was founded; the next start goes on from here");
                    return Ok(Next::Over);
                }
            }
        }
    };
    let (ends, ended) = tokio::sync::watch::channel(None);
    let shell = start_shell(&config, bounds, &data_dir, identity, listener, ends).await?;
    let mut ends_early = ended.clone();
    let may_serve = tokio::select! {
        () = shell.until_vouched_for() => true,
        _ = ends_early.changed() => true,
        () = signals.end() => false,
    };
    let result = if may_serve {
        serve(&config, bounds, &data_dir, &shell, &mut signals, ended).await
    } else {
        Ok(Next::Over)
    };
    let stopped = shell.stop().await;
    let next = result?;
    stopped.map_err(|why| {
        Failure::new(
            format!("the last sync failed: {why}"),
            "check the disk; nothing acknowledged is lost",
        )
        .state(State::Unknown)
    })?;
    if next == Next::Anew {
        let aside = data_dir.put_store_aside()?;
        error!(
            aside = %aside.display(),
            "the old copy lies there now, and nothing in it is served; this node starts with an empty store, which fills from \
             the others. Remove it when that is done and nothing is missed"
        );
    }
    info!("ended cleanly");
    Ok(next)
}

async fn start_shell(
    config: &Config,
    bounds: Bounds,
    data_dir: &DataDir,
    identity: Identity,
    listener: NodeListener,
    ends: tokio::sync::watch::Sender<Option<End>>,
) -> Result<Shell, Failure> {
    let strangers = late_answers(data_dir.path(), admission::secret_for_late_answers(config).as_ref())
        .map_err(birth::founding_failure)?;
    let shell_config = ShellConfig {
        data: data_dir.path().to_owned(),
        identity,
        store: store_options(config),
        forgetting: config.forgetting,
        upkeep: config.upkeep,
        body_bytes_max: bounds.body_bytes_max,
        disk_lost: config.disk_lost.map(|what| match what {
            DiskLost::Fill => holdfast_node::shell::DiskLost::Fill,
            DiskLost::GiveUp => holdfast_node::shell::DiskLost::GiveUp,
        }),
        strangers,
        on_end: Box::new(move |why| {
            let _ = ends.send(Some(why));
        }),
        on_rest: Box::new(allocator::rest),
    };
    Shell::start(shell_config, listener)
        .await
        .map_err(|error| split_advice(&error.to_string()))
}

fn store_options(config: &Config) -> Options {
    Options {
        unsafe_no_sync: config.unsafe_no_sync,
        on_rest: allocator::give_back,
        ..Options::default()
    }
}

async fn serve(
    config: &Config,
    bounds: Bounds,
    data_dir: &DataDir,
    shell: &Shell,
    signals: &mut Signals,
    mut ends: tokio::sync::watch::Receiver<Option<End>>,
) -> Result<Next, Failure> {
    let admin_token = secrets::admin_token(config, shell.identity());
    secrets::write_files(data_dir, &shell.cluster().root, &admin_token, shell.identity())?;
    let api = ApiConfig {
        session_key: Some(shell.identity().secret.derive("console sessions")),
        ..api_config(config, bounds, Some(admin_token), shell.cluster().root.id.clone())
    };
    // For people to look at; a node that cannot read it is none the worse.
    let registered_with = RegisteredWith::load(data_dir.path()).ok().flatten();
    let port = Port::over(shell.clone(), config.unsafe_no_sync, registered_with);
    let frontends = Frontends::bind(api, port)
        .await
        .map_err(|error| split_advice(&error.to_string()))?;
    warnings::count(config);
    let reloader = frontends.tls_reloader();
    info!(
        node = %shell.node(), cluster = %shell.identity().cluster, members = shell.cluster().layout.members().len(),
        s3 = config.s3_advertise, rest = config.rest_advertise, node_address = config.node_advertise,
        "ready to serve"
    );
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(frontends.run(async move {
        let _ = stopping.await;
    }));
    let ended = loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::End => break Ok(Next::Over),
                Told::Reload => reload(reloader.as_ref()),
            },
            // The sender lives in the shell, which lives longer than this loop.
            _ = ends.changed() => break match ends.borrow().clone() {
                Some(End::OldCopy) => Ok(Next::Anew),
                Some(End::Failed(why)) => Err(broken(why)),
                None => Err(broken("the node stopped by itself".to_owned())),
            },
        }
    };
    info!(
        drain_s = DRAIN.as_secs(),
        "ending: no new connections, requests under way may finish"
    );
    signals::end_at_once_on_another();
    shell.end_events();
    let _ = stop.send(());
    let _ = serving.await;
    ended
}

/// What front ends are told, before a node or a gateway.
pub fn api_config(config: &Config, bounds: Bounds, admin_token: Option<String>, root_key_id: String) -> ApiConfig {
    ApiConfig {
        s3_addresses: vec![config.s3_bind],
        rest_addresses: vec![config.rest_bind],
        region: config.region.clone(),
        base_domains: config.base_domains.clone(),
        admin_token,
        root_key_id: Some(root_key_id),
        tls: config.tls.as_ref().map(|tls| TlsFiles {
            certificate: tls.cert.clone(),
            key: tls.key.clone(),
        }),
        limits: Limits {
            drain: DRAIN,
            connections_max: bounds.connections_max,
            ..Limits::default()
        },
        ..ApiConfig::default()
    }
}

fn broken(why: String) -> Failure {
    Failure::new(why, "check the disk and the log, then start this node again")
}

pub fn reload(reloader: Option<&holdfast_api::serve::TlsReloader>) {
    match reloader.map(holdfast_api::serve::TlsReloader::reload) {
        None => info!("SIGHUP: there is no certificate to read again"),
        Some(Ok(())) => info!("SIGHUP: certificate and key read again; new connections use them"),
        Some(Err(why)) => error!("SIGHUP: the old certificate stays in use: {why}"),
    }
}

fn identity_failure(error: holdfast_node::identity::IdentityError) -> Failure {
    split_advice(&error.to_string())
}

/// The other crates say what happened and what to do in one sentence, parted by `; ` or `: `; here it becomes two lines.
pub fn split_advice(text: &str) -> Failure {
    match text.rsplit_once("; ") {
        Some((what, advice)) => Failure::new(what, advice),
        None => match text.rsplit_once(": ") {
            Some((what, advice)) => Failure::new(what, advice),
            None => Failure::new(text, "see the log"),
        },
    }
}

/// Shares the listener of the node port between founding and the shell.
type NodeListener = Arc<tokio::net::TcpListener>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_parted_from_what_happened() {
        let failure = split_advice("/x: it is damaged; restore it from a backup");
        assert_eq!(
            (failure.what.as_str(), failure.advice.as_str()),
            ("/x: it is damaged", "restore it from a backup")
        );
        assert_eq!(split_advice("odd").advice, "see the log");
    }
}
