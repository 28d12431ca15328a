//! The checksum of the database's files: CRC32C, masked as the database stores it.

use std::sync::LazyLock;

const POLY: u32 = 0x82f6_3b78;

static TABLE: LazyLock<[u32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|n| {
        let start = u32::try_from(n).unwrap_or_default();
        (0..8).fold(start, |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ POLY,
            _ => crc >> 1,
        })
    })
});

/// The masked checksum of these parts, one after the other.
pub(super) fn masked<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let table: &[u32; 256] = &TABLE;
    let mut crc = u32::MAX;
    for part in parts {
        for byte in part {
            let at = (crc ^ u32::from(*byte)) & 0xff;
            let at = usize::try_from(at).unwrap_or_default();
            crc = table.get(at).copied().unwrap_or_default() ^ (crc >> 8);
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        let unmask = |masked: u32| masked.wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmask(masked([b"123456789".as_slice()])), 0xe306_9283);
        assert_eq!(unmask(masked([b"1234".as_slice(), b"56789"])), 0xe306_9283);
    }
}
