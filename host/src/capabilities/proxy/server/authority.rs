//! A certificate authority that lives as long as a proxy, and the certificates that it makes for hosts.
//!
//! Its key never leaves this memory. A certificate names one host only: with more, a browser would send requests for
//! one host to a connection of another (RFC 9113, 9.1.1).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use ring::digest;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::{Duration, OffsetDateTime};

use super::connection::Protocol;

/// How many hosts' certificates are kept.
const LEAVES: usize = 1_000;
/// How long certificates hold, and since when: clocks need not agree.
const VALID: Duration = Duration::days(365);
const SINCE: Duration = Duration::days(-1);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// It cannot be made.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// It cannot be used.
    #[error("a certificate could not be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pin: String,
    /// One key for all certificates: they differ in whom they name only.
    key: KeyPair,
    leaves: Mutex<HashMap<(String, Protocol), Arc<ServerConfig>>>,
}

impl Authority {
    /// A new one of this name, with a new key.
    pub(super) fn new(name: &'static str) -> Result<Self, AuthorityError> {
        let mut certificate = parameters(name, Vec::new())?;
        certificate.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        certificate.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(certificate, KeyPair::generate()?)?;
        let pin = BASE64.encode(digest::digest(&digest::SHA256, &issuer.key().subject_public_key_info()));
        Ok(Self { issuer, pin, key: KeyPair::generate()?, leaves: Mutex::default() })
    }

    /// The SHA-256 of its public key (the whole SubjectPublicKeyInfo), in base64.
    pub(super) fn pin(&self) -> &str {
        &self.pin
    }

    /// Its certificate.
    #[cfg(test)]
    pub(super) fn certificate(&self) -> rustls::pki_types::CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// How to speak TLS as this host, and this protocol inside it.
    pub(super) fn server(&self, host: &str, protocol: Protocol) -> Result<Arc<ServerConfig>, AuthorityError> {
        let name = (host.to_owned(), protocol);
        if let Some(known) = self.leaves.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(known.clone());
        }
        let mut certificate = parameters("Armada", vec![host.to_owned()])?;
        certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        certificate.use_authority_key_identifier_extension = true;
        let certificate = certificate.signed_by(&self.key, &self.issuer)?;
        let chain = vec![certificate.into(), self.issuer.der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(self.key.serialize_der()).into())?;
        server.alpn_protocols = vec![protocol.name().to_vec()];
        let server = Arc::new(server);
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if leaves.len() >= LEAVES {
            // Making one takes less than a millisecond: which of them goes does not matter.
            leaves.clear();
        }
        leaves.insert(name, server.clone());
        Ok(server)
    }
}

/// A certificate of this name for these hosts: addresses as addresses, names as names.
fn parameters(name: &'static str, hosts: Vec<String>) -> Result<CertificateParams, AuthorityError> {
    let mut parameters = CertificateParams::new(hosts)?;
    let now = OffsetDateTime::now_utc();
    (parameters.not_before, parameters.not_after) = (now + SINCE, now + VALID);
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    Ok(parameters)
}
