//! `holdfast gateway`: the front ends of a node, before a cluster that it knows a few nodes of.

mod args;
mod join;

use holdfast_api::serve::Frontends;
use holdfast_node::founding::Seeds;
use holdfast_node::gateway::{Admitted, Running};
use tracing::{info, warn};

pub use args::GatewayArgs;

use crate::config::{self, Config, LogFormat};
use crate::failure::{Failure, local};
use crate::port::{GatewaySide, Port};
use crate::serve::bounds::{self, Bounds};
use crate::serve::signals::{self, Signals, Told};
use crate::serve::{DRAIN, api_config, logging, machine, reload, split_advice};
use join::TokenAt;

/// The port that nodes are dialled on, where a seed names none.
const NODE_PORT: u16 = 9002;

/// Runs `gateway`.
pub fn run(args: GatewayArgs) -> Result<(), Failure> {
    let config = config::resolve(args.settings())?;
    let seeds = Seeds::parse(&args.via, NODE_PORT).map_err(|why| {
        Failure::usage(
            why,
            "name nodes with --via, for example --via 10.0.0.1:9002,10.0.0.2:9002",
        )
    })?;
    logging::start(&config)?;
    let as_json = config.log_format == LogFormat::Json;
    machine::check_clock()?;
    let bounds = bounds::decide(&config, machine::raise_open_files());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("holdfast")
        .build()
        .map_err(|error| local("threads could not be started", &error))?;
    let ended = runtime.block_on(gateway(&args, config, bounds, seeds));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    if let Err(failure) = &ended
        && as_json
    {
        tracing::error!(advice = failure.advice, state = %failure.state, "{}", failure.what);
        std::process::exit(failure.exit as i32);
    }
    ended
}

async fn gateway(args: &GatewayArgs, config: Config, bounds: Bounds, seeds: Seeds) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    info!(version = env!("CARGO_PKG_VERSION"), name = config.name, via = %seeds, "Holdfast gateway starts");
    if config.tls.is_none() && !config.s3_bind.ip().is_loopback() {
        warn!("clients are served without TLS on an address that others can reach; add --tls-cert and --tls-key");
    }
    let token = match (&args.token, &args.token_file) {
        (Some(word), _) => TokenAt::Word(word),
        (None, Some(path)) => TokenAt::File(path),
        (None, None) => {
            return Err(Failure::usage(
                "there is no gateway token",
                "add --token or --token-file",
            ));
        }
    };
    let admitted = tokio::select! {
        admitted = join::admitted(&seeds, token) => admitted?,
        () = signals.end() => return Ok(()),
    };
    let commit_within_ms = config.forgetting.commit_within_ms;
    let running = Running::start(&admitted, bounds.body_bytes_max, commit_within_ms)
        .map_err(|error| split_advice(&error.to_string()))?;
    serve(&config, bounds, &admitted, running, &mut signals).await
}

async fn serve(
    config: &Config,
    bounds: Bounds,
    admitted: &Admitted,
    running: Running,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let api = api_config(config, bounds, config.admin_token.clone(), admitted.root.id.clone());
    let (end, ends) = tokio::sync::watch::channel(false);
    let side = GatewaySide::new(running, admitted, config, ends);
    let frontends = Frontends::bind(api, Port::over_gateway(side))
        .await
        .map_err(|error| split_advice(&error.to_string()))?;
    let reloader = frontends.tls_reloader();
    info!(
        gateway = %admitted.gateway, cluster = %admitted.cluster, s3 = config.s3_advertise, rest = config.rest_advertise,
        "ready to serve"
    );
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(frontends.run(async move {
        let _ = stopping.await;
    }));
    while let Told::Reload = signals.next().await {
        reload(reloader.as_ref());
    }
    info!(
        drain_s = DRAIN.as_secs(),
        "ending: no new connections, requests under way may finish"
    );
    signals::end_at_once_on_another();
    let _ = end.send(true);
    let _ = stop.send(());
    let _ = serving.await;
    info!("ended cleanly");
    Ok(())
}
