//! The checksum of the database's files: CRC32C, masked as the database stores it.

const POLY: u32 = 0x82f6_3b78;

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let (mut n, mut start) = (0, 0u32);
    while n < 256 {
        let (mut crc, mut bit) = (start, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLY
            } else {
                crc >> 1
            };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "below 256, at compile time")]
        {
            table[n] = crc;
        }
        n += 1;
        start += 1;
    }
    table
}

static TABLE: [u32; 256] = table();

/// The masked checksum of these parts, one after the other.
pub(super) fn masked<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut crc = u32::MAX;
    for part in parts {
        for byte in part {
            let at = (crc ^ u32::from(*byte)) & 0xff;
            let at = usize::try_from(at).unwrap_or_default();
            crc = TABLE.get(at).copied().unwrap_or_default() ^ (crc >> 8);
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
