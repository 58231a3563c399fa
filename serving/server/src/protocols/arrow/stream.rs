//! Owns the reading of an Arrow IPC stream that came from outside: bytes in, record batches out, or what is wrong.
//!
//! Arrow's reader trusts what a message says about its own buffers, and panics or allocates without bound where that is
//! untrue. So each message is checked before it is read: its parts lie within the body, it has no more rows than the
//! stream has bytes, and no buffer is compressed on its own (a few bytes could claim any size; a body that is compressed
//! whole, with `content-encoding: gzip`, is limited while it is unpacked). Reading happens on a thread of its own, so
//! that a flaw which these checks do not know ends in a refusal, too.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::{self, MessageHeader, root_as_message};

use crate::cores;
use crate::problem::Problem;

/// What stands before each message, except in streams of very old writers.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Reads a whole stream.
pub(super) async fn read(body: actix_web::web::Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), Problem> {
    let read = tokio::task::spawn_blocking(move || {
        cores::leave();
        check(&body)?;
        decode(&body)
    });
    match read.await {
        Ok(read) => read.map_err(malformed),
        Err(_) => Err(malformed("its messages contradict each other".into())),
    }
}

fn malformed(what: String) -> Problem {
    Problem::Malformed {
        detail: format!("the body is not a valid Arrow IPC stream: {what}"),
    }
}

fn decode(body: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    // Arrow reads numbers in place, so the bytes must begin where numbers may.
    let mut rest = Buffer::from(body);
    while !rest.is_empty() {
        match decoder.decode(&mut rest) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    decoder.finish().map_err(|error| error.to_string())?;
    match decoder.schema() {
        Some(schema) => Ok((schema, batches)),
        None => Err("it has no schema".into()),
    }
}

/// Checks what each message says about itself.
fn check(body: &[u8]) -> Result<(), String> {
    let mut rest = body;
    let mut n_rows = 0_u64;
    loop {
        if rest.starts_with(&CONTINUATION) {
            rest = &rest[4..];
        }
        let Some((size, after)) = rest.split_first_chunk::<4>() else {
            // A stream may end without its mark.
            return if rest.is_empty() {
                Ok(())
            } else {
                Err("it is cut off".into())
            };
        };
        let size = u32::from_le_bytes(*size) as usize;
        if size == 0 {
            return if after.is_empty() {
                Ok(())
            } else {
                Err("bytes follow its end".into())
            };
        }
        let (message, after) = after.split_at_checked(size).ok_or("it is cut off")?;
        // Flatbuffers hold numbers in place; a copy is aligned.
        let message = Buffer::from(message);
        let message = root_as_message(&message).map_err(|error| error.to_string())?;
        let body_length = usize::try_from(message.bodyLength()).map_err(|_| "a message has a negative length")?;
        if body_length > after.len() {
            return Err("it is cut off".into());
        }
        let part = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|batch| batch.data()),
            _ => None,
        };
        if let Some(part) = part {
            n_rows += check_batch(&part, body_length)?;
            if n_rows > body.len() as u64 {
                return Err("it claims more rows than it has bytes".into());
            }
        }
        rest = &after[body_length..];
    }
}

/// Checks that the parts of a batch lie within its body; answers its number of rows.
fn check_batch(batch: &ipc::RecordBatch<'_>, body_length: usize) -> Result<u64, String> {
    if batch.compression().is_some() {
        return Err("its buffers are compressed; write it uncompressed, or compress the whole body with gzip".into());
    }
    let n_rows = u64::try_from(batch.length()).map_err(|_| "a batch has a negative number of rows")?;
    for node in batch.nodes().into_iter().flatten() {
        // Lists are not read here, so no column is longer than the batch.
        if node.length() < 0 || node.length() as u64 > n_rows || node.null_count() < 0 {
            return Err("a column is longer than its batch".into());
        }
    }
    let mut n_buffers = 0_i64;
    for buffer in batch.buffers().into_iter().flatten() {
        n_buffers += 1;
        let end = buffer.offset().checked_add(buffer.length());
        let is_within = buffer.offset() >= 0
            && buffer.length() >= 0
            && end
                .and_then(|end| usize::try_from(end).ok())
                .is_some_and(|end| end <= body_length);
        if !is_within {
            return Err("a buffer lies outside its message".into());
        }
    }
    let mut claimed = batch.variadicBufferCounts().into_iter().flatten();
    if claimed.any(|count| !(0..=n_buffers).contains(&count)) {
        return Err("a column claims more buffers than there are".into());
    }
    Ok(n_rows)
}
