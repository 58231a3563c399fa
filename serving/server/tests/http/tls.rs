//! TLS: what is shown, what is renewed while connections are open, what is refused.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lakeloop_config::TlsSettings;
use lakeloop_server::{ServerError, TlsError, install_crypto};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::logged;
use crate::support::{DISH, Home};

/// A certificate for `localhost` that is its own authority, and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        Self::until(2100)
    }

    /// One that ends with the year.
    fn until(year: i32) -> Self {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn write(&self, folder: &Path) -> TlsSettings {
        let settings = TlsSettings {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            client_ca: None,
        };
        // The key first, as renewals do it: until both are there the former pair is shown.
        replace(&settings.key, &self.key);
        replace(&settings.certificate, &self.certificate);
        settings
    }
}

/// Replaces a file as a whole.
fn replace(path: &PathBuf, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(&next, path).unwrap();
}

/// A connection that trusts one certificate only.
struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    fn connect(addr: SocketAddr, trusted: &str, own: Option<(&str, &str)>) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap())
            .unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        Self(StreamOwned::new(connection, TcpStream::connect(addr).unwrap()))
    }

    /// Asks; gives the status line and the body.
    fn get(&mut self, path: &str) -> io::Result<(String, String)> {
        write!(self.0, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        self.0.read_exact(&mut body)?;
        let status = head.lines().next().unwrap().to_owned();
        Ok((status, String::from_utf8(body).unwrap()))
    }

    fn health(&mut self) -> io::Result<String> {
        Ok(self.get("/healthz")?.0)
    }
}

/// How health is answered on a connection of its own.
fn health(addr: SocketAddr, trusted: &str) -> io::Result<String> {
    Client::connect(addr, trusted, None).health()
}

const OK: &str = "http/1.1 200 ok";

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_and_open_connections_stay() {
    install_crypto();
    let mut home = Home::new();
    let (first, second) = (Pair::new(), Pair::new());
    home.settings.server.tls = Some(first.write(home.path()));
    let site = home.start_with(&[DISH]).await;
    let addr = site.server.addr();
    assert_eq!(site.server.url(), format!("https://{addr}"));
    let folder = home.path().to_owned();
    let checked = tokio::task::spawn_blocking(move || {
        let mut open = Client::connect(addr, &first.certificate, None);
        assert_eq!(open.health().unwrap(), OK);
        assert!(
            health(addr, &second.certificate).is_err(),
            "another certificate is not trusted"
        );

        // A certificate whose key is not there yet changes nothing.
        replace(&folder.join("cert.pem"), &second.certificate);
        for _ in 0..20 {
            assert_eq!(health(addr, &first.certificate).unwrap(), OK);
        }
        second.write(&folder);
        while health(addr, &second.certificate).is_err() {}
        assert!(
            health(addr, &first.certificate).is_err(),
            "the former one is not shown any more"
        );
        assert_eq!(open.health().unwrap(), OK, "the connection that was open goes on");
    });
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, checked).await.unwrap().unwrap();
    let plain = site.client.get(format!("http://{addr}/healthz")).send().await;
    assert!(plain.is_err(), "{plain:?}");
    site.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_asked_for_certificates_where_that_is_wanted() {
    install_crypto();
    let mut home = Home::new();
    let server = Pair::new();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let client_key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let client = client.signed_by(&client_key, &authority).unwrap().pem();
    let mut tls = server.write(home.path());
    let authorities = home.path().join("clients.pem");
    fs::write(&authorities, authority.pem()).unwrap();
    tls.client_ca = Some(authorities);
    home.settings.server.tls = Some(tls);
    let site = home.start_with(&[DISH]).await;
    let addr = site.server.addr();
    let checked = tokio::task::spawn_blocking(move || {
        let mut known = Client::connect(addr, &server.certificate, Some((&client, &client_key.serialize_pem())));
        assert_eq!(known.health().unwrap(), OK);
        assert!(health(addr, &server.certificate).is_err(), "no certificate");
        let own = Some((server.certificate.as_str(), server.key.as_str()));
        assert!(
            Client::connect(addr, &server.certificate, own).health().is_err(),
            "one of nobody we know"
        );
    });
    checked.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_certificate_is_told_before_and_after() {
    install_crypto();
    logged::start();
    // It is noon of 2026-03-01. The seconds are those of `date -u -d 2100-12-31 +%s` (GNU coreutils 9.1).
    for (year, level, metric) in [
        (2100, None, "lakeloop_tls_certificate_not_after_seconds 4133894400"),
        (2025, Some("ERROR"), ""),
    ] {
        let mut home = Home::new();
        let pair = Pair::until(year);
        let tls = pair.write(home.path());
        let path = tls.certificate.display().to_string();
        home.settings.server.tls = Some(tls);
        let site = home.start_with(&[DISH]).await;
        let events = logged::events(|event| event["fields"]["path"] == path);
        let levels: Vec<_> = events.iter().map(|event| event["level"].as_str().unwrap()).collect();
        assert_eq!(levels, level.into_iter().collect::<Vec<_>>());
        for event in &events {
            assert_eq!(event["fields"]["not_after"], "2025-12-31T00:00:00+00:00");
        }
        let addr = site.server.addr();
        let asked = tokio::task::spawn_blocking(move || Client::connect(addr, &pair.certificate, None).get("/metrics"));
        match asked.await.unwrap() {
            Ok((_, metrics)) => assert!(metrics.lines().any(|line| line == metric), "{metric} in\n{metrics}"),
            Err(error) => assert!(year == 2025 && error.to_string().contains("xpired"), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_do_not_serve_keep_the_server_from_starting() {
    let (pair, other) = (Pair::new(), Pair::new());
    let spoilt = |spoil: &dyn Fn(&TlsSettings)| {
        let mut home = Home::new();
        let tls = pair.write(home.path());
        spoil(&tls);
        home.settings.server.tls = Some(tls);
        home
    };
    type Spoil<'s> = &'s dyn Fn(&TlsSettings);
    let cases: [(Spoil<'_>, &str); 5] = [
        (
            &|tls| fs::remove_file(&tls.certificate).unwrap(),
            "server.tls.certificate: cannot read",
        ),
        (&|tls| fs::remove_file(&tls.key).unwrap(), "server.tls.key: cannot read"),
        (
            &|tls| fs::write(&tls.certificate, &pair.key).unwrap(),
            "cert.pem holds no CERTIFICATE in PEM form",
        ),
        (
            &|tls| fs::write(&tls.key, "secret").unwrap(),
            "key.pem holds no PRIVATE KEY in PEM form",
        ),
        (
            &|tls| fs::write(&tls.key, &other.key).unwrap(),
            "is not the private key of the certificate",
        ),
    ];
    for (spoil, said) in cases {
        let home = spoilt(spoil);
        let error = home.try_start().await.unwrap_err();
        assert!(matches!(error, ServerError::Tls(_)), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let mut home = spoilt(&|_| {});
    let authorities = home.path().join("none.pem");
    if let Some(tls) = &mut home.settings.server.tls {
        tls.client_ca = Some(authorities);
    }
    let error = home.try_start().await.unwrap_err();
    assert!(
        matches!(
            error,
            ServerError::Tls(TlsError::Read {
                setting: "server.tls.client_ca",
                ..
            })
        ),
        "{error:?}"
    );
}
