//! The five bytes before each gRPC message.

/// Bytes of a gRPC frame before its message: a flag and the length.
pub(crate) const FRAME_HEADER_BYTES: usize = 5;

/// Leaves room for the frame's header; append the message, then call [`frame`].
pub(crate) fn open_frame(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
}

/// Completes the frame that [`open_frame`] began.
pub(crate) fn frame(buffer: &mut [u8]) {
    // Requests are far smaller than 4 GiB: the body limit is 4 MiB.
    let length = (buffer.len() - FRAME_HEADER_BYTES) as u32;
    buffer[1..FRAME_HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
}
