//! The peer of the HTTP benchmark: an actix handler that takes the same body and answers as many bytes, and does nothing.
//!
//! `empty_handler BYTES WORKERS` prints its address and serves until it is killed.

use actix_web::{App, HttpResponse, HttpServer, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let (Some(Ok(n_bytes)), Some(Ok(workers))) = (arguments.next(), arguments.next()) else {
        return Err(std::io::Error::other("usage: empty_handler BYTES WORKERS"));
    };
    let body = web::Bytes::from("x".repeat(n_bytes));
    let server = HttpServer::new(move || {
        let body = body.clone();
        App::new().route(
            "/v1/decide",
            web::post().to(move |_request: web::Bytes| {
                let body = body.clone();
                async move { HttpResponse::Ok().content_type("application/json").body(body) }
            }),
        )
    })
    .workers(workers)
    .bind(("127.0.0.1", 0))?;
    for address in server.addrs() {
        use std::io::Write;
        writeln!(std::io::stdout(), "listening on http://{address}")?;
    }
    server.run().await
}
