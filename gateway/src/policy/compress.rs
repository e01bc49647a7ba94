//! Encodings of answers: zstd, br and gzip, each at the level that costs least. Streams are left alone: their messages
//! are small and go out one by one.

use std::{
    cell::RefCell,
    io::Write,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use http::{HeaderMap, HeaderValue, header};

use crate::answer::{Answer, Body};

/// Where more is won than a byte costs; each at the level that is fastest.
const ZSTD_LEVEL: i32 = 1;
const BROTLI_QUALITY: u32 = 1;
/// Window of brotli, as a power of two: answers are small.
const BROTLI_WINDOW: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 4096;
/// Largest answer that is compressed, in bytes: beyond that one request would hold a thread for too long.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Window of gzip with its header, as zlib counts.
const GZIP_WINDOW_BITS: u8 = 15;

/// An encoding that clients may accept, the cheapest for its worth first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Zstd,
    Brotli,
    Gzip,
}

impl Encoding {
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The encoding with the highest q-value of an Accept-Encoding header; `None` where it prefers none.
    pub(crate) fn accepted(accept: &str) -> Option<Self> {
        let mut qualities = [None; 3];
        let (mut identity, mut others) = (None, None);
        for part in accept.split(',') {
            let (name, quality) = match part.split_once(';') {
                None => (part.trim(), 1.0),
                Some((name, parameter)) => {
                    let quality = parameter.trim().strip_prefix("q=");
                    let quality = quality.and_then(|quality| quality.trim().parse::<f32>().ok());
                    (name.trim(), quality.unwrap_or(0.0))
                }
            };
            match Self::ALL
                .iter()
                .position(|encoding| name.eq_ignore_ascii_case(encoding.name()))
            {
                Some(index) => qualities[index] = Some(quality),
                None if name == "*" => others = Some(quality),
                None if name.eq_ignore_ascii_case("identity") => identity = Some(quality),
                None => {}
            }
        }
        let mut best = None;
        let mut highest = identity.unwrap_or(0.0);
        for (encoding, quality) in Self::ALL.into_iter().zip(qualities) {
            let quality = quality.or(others).unwrap_or(0.0);
            // At the same quality an encoding is better than none.
            if quality > 0.0 && (quality > highest || (best.is_none() && quality >= highest)) {
                (best, highest) = (Some(encoding), quality);
            }
        }
        best
    }
}

/// The encodings of a text that is sent more than once, each made when it is first asked for. Goes with an answer as an
/// extension.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variants(Arc<[OnceLock<Option<Bytes>>; Encoding::ALL.len()]>);

impl Variants {
    fn get(&self, encoding: Encoding, text: &Bytes) -> Option<Bytes> {
        let variant = &self.0[encoding as usize];
        variant.get_or_init(|| encode(encoding, text)).clone()
    }
}

/// Compresses an answer where the client accepts it and something is won. Vary is set wherever it could have been.
pub(crate) fn compress(request: &HeaderMap, min_bytes: usize, answer: &mut Answer) {
    let Body::Whole(bytes) = answer.body() else {
        return;
    };
    let length = bytes.len();
    if length < min_bytes.max(1) || length > MAX_BYTES || !is_text(answer.headers()) {
        return;
    }
    answer
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let accept = request
        .get(header::ACCEPT_ENCODING)
        .and_then(|accept| accept.to_str().ok());
    let Some(encoding) = accept.and_then(Encoding::accepted) else {
        return;
    };
    let variants = answer.extensions_mut().remove::<Variants>();
    let Body::Whole(bytes) = answer.body() else {
        return;
    };
    let compressed = match variants {
        Some(variants) => variants.get(encoding, bytes),
        None => encode(encoding, bytes),
    };
    let Some(compressed) = compressed.filter(|compressed| compressed.len() < length) else {
        return;
    };
    *answer.body_mut() = Body::Whole(compressed);
    answer.headers_mut().insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static(encoding.name()),
    );
}

/// Text that nobody has compressed yet.
fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    media.starts_with("text/")
        || media.ends_with("json")
        || media.ends_with("+xml")
        || matches!(
            media,
            "application/javascript" | "application/xml" | "application/x-ndjson"
        )
}

thread_local! {
    /// Encoders are made once a thread: making one costs more than a small answer.
    static GZIP: RefCell<Compress> =
        RefCell::new(Compress::new_gzip(Compression::fast(), GZIP_WINDOW_BITS));
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        RefCell::new(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok());
}

fn encode(encoding: Encoding, bytes: &[u8]) -> Option<Bytes> {
    match encoding {
        Encoding::Zstd => ZSTD.with_borrow_mut(|compressor| {
            let compressed = compressor.as_mut()?.compress(bytes).ok()?;
            Some(compressed.into())
        }),
        Encoding::Brotli => {
            let out = Vec::with_capacity(bytes.len() / 2);
            let mut writer = brotli::CompressorWriter::new(
                out,
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW,
            );
            writer.write_all(bytes).ok()?;
            Some(writer.into_inner().into())
        }
        Encoding::Gzip => GZIP.with_borrow_mut(|compress| {
            compress.reset();
            let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
            loop {
                let taken = compress.total_in() as usize;
                let status = compress
                    .compress_vec(&bytes[taken..], &mut out, FlushCompress::Finish)
                    .ok()?;
                if status == flate2::Status::StreamEnd {
                    return Some(out.into());
                }
                // More than the text itself: nothing would be won.
                if out.len() >= bytes.len() {
                    return None;
                }
                out.reserve(bytes.len() - out.len());
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_client_chooses_by_q_values() {
        for (accept, expected) in [
            ("gzip", Some(Encoding::Gzip)),
            ("gzip, deflate, br", Some(Encoding::Brotli)),
            ("gzip, deflate, br, zstd", Some(Encoding::Zstd)),
            ("gzip;q=1.0, br;q=0.5", Some(Encoding::Gzip)),
            ("br;q=0", None),
            ("*", Some(Encoding::Zstd)),
            ("*;q=0.5, zstd;q=0", Some(Encoding::Brotli)),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, GZIP ; q=0.7", Some(Encoding::Gzip)),
            ("gzip;q=nonsense", None),
            ("deflate", None),
            ("", None),
        ] {
            assert_eq!(Encoding::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn each_encoding_can_be_read_again() {
        let text = "{\"products\":[{\"sku\":\"tea\",\"price\":450}]}".repeat(100);
        for _ in 0..3 {
            for encoding in Encoding::ALL {
                let compressed = encode(encoding, text.as_bytes()).expect("an encoding");
                assert!(compressed.len() * 5 < text.len(), "{encoding:?}");
                let mut plain = String::new();
                match encoding {
                    Encoding::Zstd => zstd::Decoder::new(&compressed[..])
                        .and_then(|mut decoder| decoder.read_to_string(&mut plain)),
                    Encoding::Brotli => {
                        brotli::Decompressor::new(&compressed[..], 4096).read_to_string(&mut plain)
                    }
                    Encoding::Gzip => {
                        flate2::read::GzDecoder::new(&compressed[..]).read_to_string(&mut plain)
                    }
                }
                .expect("readable");
                assert_eq!(plain, text, "{encoding:?}");
            }
        }
    }

    #[test]
    fn encodings_of_what_is_kept_are_made_once() {
        let mut request = HeaderMap::new();
        request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let variants = Variants::default();
        let answer = || {
            let mut answer = crate::answer::json(http::StatusCode::OK, "tea ".repeat(500).into());
            answer.extensions_mut().insert(variants.clone());
            compress(&request, 100, &mut answer);
            let Body::Whole(bytes) = answer.into_body() else {
                panic!("a whole body");
            };
            bytes
        };
        let first = answer();
        assert!(first.len() < 500);
        assert_eq!(first.as_ptr(), answer().as_ptr());
    }

    #[test]
    fn only_text_that_is_worth_it() {
        let mut request = HeaderMap::new();
        request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let answer = |kind: &'static str, body: &str| {
            let mut answer = Answer::new(Body::Whole(body.to_owned().into()));
            answer
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            compress(&request, 100, &mut answer);
            answer.headers().contains_key(header::CONTENT_ENCODING)
        };
        let long = "tea ".repeat(100);
        assert!(answer("application/json", &long));
        assert!(answer("application/problem+json", &long));
        assert!(answer("text/plain; charset=utf-8", &long));
        assert!(!answer("image/png", &long));
        assert!(!answer("application/json", "short"));
    }
}
