//! The thinnest intercepting proxy that hudsucker makes: `hudsucker-peer CERTIFICATE` trusts servers of that
//! certificate (DER), prints the port that it listens on, and serves until it is killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hudsucker::Proxy;
use hudsucker::certificate_authority::RcgenAuthority;
use hudsucker::hyper_util::client::legacy::connect::HttpConnector;
use hudsucker::rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use hudsucker::rustls::{ClientConfig, RootCertStore, crypto::ring};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let certificate = std::fs::read(std::env::args().nth(1).ok_or("which certificate?")?)?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    println!("{}", listener.local_addr()?.port());
    let proxy = Proxy::builder()
        .with_listener(listener)
        .with_ca(authority()?)
        .with_http_connector(connector(certificate)?)
        .build()?;
    Ok(proxy.start().await?)
}

fn authority() -> Result<RcgenAuthority, Box<dyn std::error::Error>> {
    let mut certificate = CertificateParams::new(Vec::<String>::new())?;
    certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(RcgenAuthority::new(Issuer::new(certificate, KeyPair::generate()?), 1_000, ring::default_provider()))
}

fn connector(certificate: Vec<u8>) -> Result<HttpsConnector<HttpConnector>, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.into())?;
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(client).https_or_http().enable_http1().enable_http2().build())
}
