//! Front ends on ephemeral ports, stopped when dropped.

use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_api::memory::MemoryObjects;
use holdfast_api::serve::{ApiConfig, Frontends, TlsReloader};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const KEY: &str = "HFTESTKEY00000000001";
pub const SECRET: &str = "a secret of the tests, with spaces/and+signs";
pub const TOKEN: &str = "token of the tests";

pub struct Server {
    pub s3: SocketAddr,
    pub rest: SocketAddr,
    pub memory: MemoryObjects,
    pub tls: Option<TlsReloader>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    runtime: Runtime,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let any = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let mut config = ApiConfig {
            s3_addresses: any.clone(),
            rest_addresses: any,
            base_domains: vec!["s3.example.com".to_owned()],
            admin_token: Some(TOKEN.to_owned()),
            root_key_id: Some(KEY.to_owned()),
            ..ApiConfig::default()
        };
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let memory = MemoryObjects::with_key(KEY, SECRET);
        let frontends = runtime
            .block_on(Frontends::bind(config, Arc::new(memory.clone())))
            .unwrap();
        let (s3, rest, tls) = (
            frontends.s3_addresses()[0],
            frontends.rest_addresses()[0],
            frontends.tls_reloader(),
        );
        let (stop, stopped) = oneshot::channel();
        let serving = runtime.spawn(frontends.run(async {
            let _ = stopped.await;
        }));
        Self {
            s3,
            rest,
            memory,
            tls,
            stop: Some(stop),
            serving: Some(serving),
            runtime,
        }
    }

    /// Tells the server to stop, without waiting.
    pub fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has stopped.
    pub fn wait_stopped(&mut self) {
        let serving = self.serving.take().unwrap();
        self.runtime.block_on(serving).unwrap();
    }
}
