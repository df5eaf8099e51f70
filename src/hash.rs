//! FNV-1a, as its authors give it: the same in every process and version, so a hash may stand in a file.
#![forbid(unsafe_code)]

/// The hash of the bytes, 64 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
