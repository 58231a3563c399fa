//! Owns the page at `/docs`: Swagger UI from an archive that is part of the binary.
//!
//! The archive is a zip file whose files are deflated. A gzip file is the same deflated bytes between a head and the file's
//! checksum and length, which the archive's directory holds, so a file is sent without being unpacked here. The page
//! itself is ours, because the archive's own one tells of a shop for pets and asks a validator elsewhere.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

use crate::problem::{Missing, Problem};

const PAGE: &str = include_str!("page.html");

/// What the page is made of, with its media types.
const FILES: [(&str, &str); 2] = [
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
];

/// The head of a gzip file of deflated bytes, without a name or a time.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Answers the page.
pub(super) async fn serve() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .body(PAGE)
}

/// Answers a part of the page.
pub(super) async fn serve_file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("file").unwrap_or_default();
    let found = FILES.iter().find(|(known, _)| *known == name);
    let found = found.and_then(|(name, media_type)| Some((gzipped(SWAGGER_UI_VENDORED, name)?, media_type)));
    match found {
        Some((bytes, media_type)) => Ok(HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, *media_type))
            .insert_header((CONTENT_ENCODING, "gzip"))
            .insert_header((CACHE_CONTROL, "max-age=3600"))
            .body(bytes)),
        None => {
            let name: String = name.chars().take(80).collect();
            Err(Problem::NotFound {
                kind: Missing::Route,
                detail: format!("the reference page has no file `{name}`; it begins at /docs"),
            })
        }
    }
}

/// A deflated file of the archive's folder `dist`, as a gzip file.
fn gzipped(archive: &[u8], name: &str) -> Option<Vec<u8>> {
    let is_meant = |path: &[u8]| {
        let folder = path.strip_suffix(name.as_bytes());
        folder.is_some_and(|folder| folder.ends_with(b"/dist/") && folder.split(|byte| *byte == b'/').count() == 3)
    };
    let end = (0..=archive.len().checked_sub(22)?)
        .rev()
        .find(|at| archive[*at..].starts_with(b"PK\x05\x06"))?;
    let mut entry = archive.get(number::<4>(archive, end + 16)?..)?;
    while entry.starts_with(b"PK\x01\x02") {
        let name_len = number::<2>(entry, 28)?;
        let next = 46 + name_len + number::<2>(entry, 30)? + number::<2>(entry, 32)?;
        // 8: deflated.
        if is_meant(entry.get(46..46 + name_len)?) && number::<2>(entry, 10)? == 8 {
            let local = archive.get(number::<4>(entry, 42)?..)?;
            let start = 30 + number::<2>(local, 26)? + number::<2>(local, 28)?;
            let deflated = local.get(start..start + number::<4>(entry, 20)?)?;
            let (checksum, length) = (entry.get(16..20)?, entry.get(24..28)?);
            return Some([&GZIP_HEAD, deflated, checksum, length].concat());
        }
        entry = entry.get(next..)?;
    }
    None
}

/// A little-endian number of `N` bytes.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = bytes.get(at..at + N)?;
    Some(
        digits
            .iter()
            .rev()
            .fold(0, |number, digit| (number << 8) | usize::from(*digit)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_holds_every_part_of_the_page() {
        for (name, _) in FILES {
            assert!(gzipped(SWAGGER_UI_VENDORED, name).is_some(), "{name}");
            assert!(PAGE.contains(&format!("\"docs/{name}\"")), "{name}");
        }
    }

    #[test]
    fn what_is_no_archive_holds_nothing() {
        for archive in [&b""[..], b"PK\x05\x06", &SWAGGER_UI_VENDORED[..1000]] {
            assert_eq!(gzipped(archive, "swagger-ui.css"), None);
        }
    }
}
