//! Which bucket a `Host` header names.
//!
//! `bucket.domain` under a configured base domain is virtual-host style. Anything else, unknown hosts included, is path
//! style: clients reach nodes by addresses and names that no configuration lists. The stock implementations of `s3s`
//! take an unknown host for a bucket, which breaks exactly those clients.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

/// The base domains, in lower case, without ports, longest first so that the most specific one wins.
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(base_domains: &[String]) -> Self {
        let mut domains: Vec<String> = base_domains
            .iter()
            .map(|domain| without_port(domain.trim_matches('.')).to_ascii_lowercase())
            .filter(|domain| !domain.is_empty())
            .collect();
        domains.sort_by_key(|domain| std::cmp::Reverse(domain.len()));
        Self(domains)
    }
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = without_port(host).to_ascii_lowercase();
        for domain in &self.0 {
            if name == *domain {
                return Ok(VirtualHost::new(domain.as_str()));
            }
            if let Some(bucket) = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'))
                && !bucket.is_empty()
            {
                return Ok(VirtualHost::new(domain.as_str()).with_bucket(bucket.to_owned()));
            }
        }
        Ok(VirtualHost::new(host))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use s3s::host::S3Host;

    use super::Hosts;

    #[test]
    fn only_configured_domains_have_virtual_hosts() {
        let hosts = Hosts::new(&["s3.example.com".to_owned(), "Example.com:9000".to_owned()]);
        let bucket = |host: &str| {
            let parsed = hosts.parse_host_header(host).unwrap();
            parsed.bucket().map(str::to_owned)
        };
        assert_eq!(bucket("photos.s3.example.com:9000").as_deref(), Some("photos"));
        assert_eq!(bucket("a.b.S3.EXAMPLE.com").as_deref(), Some("a.b"));
        assert_eq!(bucket("s3.example.com"), None);
        assert_eq!(bucket("photos.example.com").as_deref(), Some("photos"));
        assert_eq!(bucket("localhost:9000"), None);
        assert_eq!(bucket("node7.internal"), None);
        assert_eq!(bucket("notexample.com"), None);
        assert_eq!(bucket(".example.com"), None);
    }
}
