//! How the registry keeps a saved model: its bytes, compressed by gzip (RFC 1952).
//!
//! Every tree of a saved model repeats the names of its fields and long runs of zeros, so that a third to a twelfth is left.
//! gzip, because whoever reads the table can undo it with the standard library of nearly any language, and hand the bytes to
//! XGBoost as they are. Rows from before models were compressed are read as they stand: a saved model begins with `{`, a gzip
//! stream with 1f 8b, so that neither passes for the other.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// What a gzip stream begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// No saved model is larger; a stream that claims to be is refused before it fills the memory.
const MAX_BYTES: u64 = 4 << 30;

/// The saved model as the registry keeps it. The same model gives the same bytes.
pub fn packed(saved: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(saved.len() / 3), Compression::default());
    let written = encoder.write_all(saved).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}

/// The model as XGBoost saved it, from what the registry keeps.
pub fn unpacked(kept: &[u8]) -> std::io::Result<Vec<u8>> {
    if !kept.starts_with(&GZIP) {
        return Ok(kept.to_vec());
    }
    let mut saved = Vec::with_capacity(kept.len().saturating_mul(4));
    GzDecoder::new(kept).take(MAX_BYTES + 1).read_to_end(&mut saved)?;
    if saved.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!(
            "it unpacks to more than {MAX_BYTES} bytes"
        )));
    }
    Ok(saved)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_model_comes_back_to_the_last_byte_and_repeats_cost_little() {
        let tree = br#"{"tree_param":{"num_nodes":"3"},"split_conditions":[7.5,-1.0,1.0],"categories":[]}"#;
        let saved: Vec<u8> = tree.repeat(50);
        let kept = packed(&saved);
        assert!(kept.len() * 10 < saved.len(), "{} of {} bytes", kept.len(), saved.len());
        assert_eq!(unpacked(&kept).unwrap(), saved);
        assert_eq!(packed(&saved), kept, "no clock and no name enters the stream");
    }

    #[test]
    fn what_earlier_versions_kept_is_read_as_it_stands() {
        assert_eq!(unpacked(b"{L\x00").unwrap(), b"{L\x00");
        assert_eq!(unpacked(b"").unwrap(), b"");
    }

    #[test]
    fn a_stream_that_was_cut_short_or_changed_is_an_error() {
        let kept = packed(&[7; 1_000]);
        assert!(unpacked(&kept[..kept.len() - 3]).is_err());
        let mut changed = kept.clone();
        let checksum = kept.len() - 8;
        changed[checksum] ^= 1;
        assert!(unpacked(&changed).is_err(), "its checksum tells");
    }
}
