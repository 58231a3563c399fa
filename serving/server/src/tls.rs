//! Owns TLS of the HTTP interface: which certificate is shown, which clients are asked for one, and the provider of cryptography.
//!
//! The certificate and its key are read at the start, where a mistake keeps the server from starting, and again whenever
//! their files change. Connections that are open keep what they have; new ones get the new certificate. A change that is not
//! sound (the certificate is there, its key is not yet) leaves the former pair in force, is logged once, and is tried again at
//! the next change. The authorities of clients are read at the start only.
//!
//! Protocols and ciphers are those that rustls takes for safe: TLS 1.2 and 1.3.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use lakeloop_config::TlsSettings;
use lakeloop_domain::Micros;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use x509_certificate::X509Certificate;

use crate::clock::Clock;
use crate::problem::Chain;
use crate::stamp::Stamp;
use crate::telemetry::Telemetry;

/// A certificate that ends within so many days is warned of whenever it is read.
const WARN_DAYS: i64 = 14;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting}: cannot read {path}; name a PEM file that this process may read")]
    Read {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is no PEM, or does not hold what it should.
    #[error("{setting}: {path} holds no {wanted} in PEM form; it should have a line -----BEGIN {wanted}-----")]
    Form {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// What is wrong with it, where it is PEM in part.
        source: Option<pem::Error>,
    },
    /// The key is that of another certificate.
    #[error(
        "server.tls.key: {key} is not the private key of the certificate in {certificate}; name the two files that were \
         issued together"
    )]
    KeyOfAnother {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate or its key is of a kind that cannot be used.
    #[error("server.tls: the certificate in {certificate} or the key in {key} cannot be used")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities of clients cannot be used.
    #[error("server.tls.client_ca: the authorities in {path} cannot be used")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
    /// The cryptography of this build lacks what TLS needs.
    #[error("TLS cannot be set up with this build's cryptography")]
    Protocol(#[source] rustls::Error),
}

/// Makes aws-lc-rs what every use of TLS in this process takes, also the clients of object stores: two providers are
/// compiled in, and rustls refuses to choose between them. A provider that was installed before stays.
pub fn install_crypto() {
    // An error only says that there is one already.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// The certificate that is shown, with its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    stamp: Mutex<Stamp>,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files of the settings.
    pub(crate) fn open(settings: &TlsSettings, telemetry: &Telemetry, clock: &Clock) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        // Taken before the files are read, so that a change in between is seen as one.
        let stamp = stamp(settings);
        let current = read(settings, &provider)?;
        report(settings, &current, telemetry, clock());
        Ok(Arc::new(Self {
            settings: settings.clone(),
            provider,
            stamp: Mutex::new(stamp),
            current: ArcSwap::from_pointee(current),
        }))
    }

    /// How connections are to be encrypted with it.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Protocol)?;
        let builder = match &self.settings.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                let authorities = certificates("server.tls.client_ca", path)?;
                let (n_added, n_ignored) = roots.add_parsable_certificates(authorities);
                if n_ignored > 0 {
                    tracing::warn!(path = %path.display(), n_added, n_ignored, "some authorities of clients cannot be used");
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
                let verifier = verifier.build().map_err(|source| TlsError::Authorities {
                    path: path.clone(),
                    source,
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        Ok(builder.with_cert_resolver(self.clone()))
    }

    /// Takes up files that have changed.
    pub(crate) fn refresh(&self, telemetry: &Telemetry, clock: &Clock) {
        let mut known = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = stamp(&self.settings);
        if *known == latest {
            return;
        }
        *known = latest;
        match read(&self.settings, &self.provider) {
            Ok(renewed) => {
                report(&self.settings, &renewed, telemetry, clock());
                self.current.store(Arc::new(renewed));
                tracing::info!(path = %self.settings.certificate.display(), "a renewed certificate is shown from now on");
            }
            Err(error) => tracing::error!(
                cause = %Chain(&error),
                "the certificate has changed but cannot be taken up; the former one is shown on"
            ),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn stamp(settings: &TlsSettings) -> Stamp {
    Stamp::of([settings.certificate.as_path(), settings.key.as_path()])
}

/// Reads the certificate and the key, which must belong together.
fn read(settings: &TlsSettings, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("server.tls.certificate", &settings.certificate)?;
    let setting = "server.tls.key";
    let path = &settings.key;
    let text = contents(setting, path)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Form {
        setting,
        path: path.clone(),
        wanted: "PRIVATE KEY",
        source: Some(source),
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| {
        let (certificate, key) = (settings.certificate.clone(), settings.key.clone());
        match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::KeyOfAnother { certificate, key }
            }
            source => TlsError::Unusable {
                certificate,
                key,
                source,
            },
        }
    })
}

/// All certificates of a PEM file; at least one.
fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wanted = "CERTIFICATE";
    let form = |source| TlsError::Form {
        setting,
        path: path.to_owned(),
        wanted,
        source,
    };
    let text = contents(setting, path)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(form(None)),
        Ok(found) => Ok(found),
        Err(source) => Err(form(Some(source))),
    }
}

fn contents(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        setting,
        path: path.to_owned(),
        source,
    })
}

/// Tells until when a certificate is valid: in `/metrics`, and in the log when that is soon or over.
fn report(settings: &TlsSettings, shown: &CertifiedKey, telemetry: &Telemetry, now: Micros) {
    let Some(ends) = not_after(shown) else { return };
    telemetry.certificate_ends(ends.timestamp());
    let path = settings.certificate.display();
    let Some(now) = DateTime::<Utc>::from_timestamp_micros(now) else {
        return;
    };
    if ends <= now {
        tracing::error!(%path, not_after = %ends.to_rfc3339(), "the certificate has expired; clients will refuse it; renew it");
    } else if (ends - now).num_days() < WARN_DAYS {
        tracing::warn!(%path, not_after = %ends.to_rfc3339(), "the certificate expires soon; renew it");
    }
}

fn not_after(shown: &CertifiedKey) -> Option<DateTime<Utc>> {
    let first = X509Certificate::from_der(shown.cert.first()?.as_ref()).ok()?;
    Some(first.validity_not_after())
}
