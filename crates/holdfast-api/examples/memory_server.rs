//! Both front ends over a cluster in memory, for trying clients against: `cargo run -p holdfast-api --example
//! memory_server -- [s3 port] [rest port] [certificate.pem key.pem]`.

use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_api::memory::MemoryObjects;
use holdfast_api::serve::{ApiConfig, Frontends, TlsFiles};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = |at: usize, otherwise: u16| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let here = |port: u16| vec![SocketAddr::from(([127, 0, 0, 1], port))];
    let config = ApiConfig {
        s3_addresses: here(port(0, 9000)?),
        rest_addresses: here(port(1, 9001)?),
        base_domains: vec!["s3.localhost".to_owned()],
        admin_token: Some("admin-token".to_owned()),
        root_key_id: Some("holdfast".to_owned()),
        tls: arguments
            .get(2)
            .zip(arguments.get(3))
            .map(|(certificate, key)| TlsFiles {
                certificate: certificate.into(),
                key: key.into(),
            }),
        ..ApiConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let objects = Arc::new(MemoryObjects::with_key("holdfast", "holdfast-secret"));
        let frontends = Frontends::bind(config, objects).await?;
        println!(
            "S3 on {:?}: key holdfast, secret holdfast-secret",
            frontends.s3_addresses()
        );
        println!("REST on {:?}: bearer admin-token", frontends.rest_addresses());
        frontends.run(std::future::pending()).await;
        Ok(())
    })
}
