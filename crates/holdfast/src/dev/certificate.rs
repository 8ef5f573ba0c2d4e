//! Certificates for loopback: an authority made for this cluster alone, whose key is thrown away at once.
//!
//! An authority and a certificate signed by it, rather than one that signed itself: rustls and OpenSSL agree on the
//! former, and disagree on whether the latter may be trusted.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::dev::state::{make_dir, write_secret};
use crate::failure::Failure;

/// Writes `ca.pem`, `node.pem` and `node.key` into a directory.
pub fn write(dir: &Path) -> Result<(), Failure> {
    let (ca, chain, key) = make().map_err(|error| {
        Failure::new(
            format!("a certificate could not be made: {error}"),
            "run without --tls, and report this",
        )
    })?;
    make_dir(dir)?;
    write_secret(&dir.join("ca.pem"), &ca)?;
    write_secret(&dir.join("node.pem"), &chain)?;
    write_secret(&dir.join("node.key"), &key)
}

fn make() -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Holdfast dev");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();

    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut node = CertificateParams::new(names)?;
    node.distinguished_name.push(DnType::CommonName, "localhost");
    node.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    node.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // OpenSSL's strict mode, which Python 3.13 turned on, wants to know the signer.
    node.use_authority_key_identifier_extension = true;
    let node_key = KeyPair::generate()?;
    let issuer = Issuer::new(authority, &authority_key);
    let node_pem = node.signed_by(&node_key, &issuer)?.pem();
    Ok((
        authority_pem.clone(),
        format!("{node_pem}{authority_pem}"),
        node_key.serialize_pem(),
    ))
}
