//! The recovery sheet: a page of text that brings everything back.

use std::fmt::Write;
use std::io::IsTerminal;

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::qr::to_qr;
use packnback_proto::words::{owner_digits, to_words};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

/// Columns of words on the sheet.
const COLUMNS: usize = 4;

/// How the QR code is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QrStyle {
    /// Not at all.
    None,
    /// For light letters on a dark screen.
    #[default]
    Screen,
    /// For black letters on paper.
    Paper,
}

impl QrStyle {
    /// As standard output needs it: a terminal, or a file that is going to be printed.
    #[must_use]
    pub fn for_stdout(wanted: bool) -> Self {
        match (wanted, std::io::stdout().is_terminal()) {
            (false, _) => Self::None,
            (true, true) => Self::Screen,
            (true, false) => Self::Paper,
        }
    }
}

/// What stands on a sheet beside the key.
#[derive(Debug, Clone, Default)]
pub struct SheetInfo {
    /// Name and addresses of each friend.
    pub friends: Vec<(String, Vec<String>)>,
    /// When it was printed.
    pub date: String,
    /// Whether and how to draw the QR code.
    pub qr: QrStyle,
}

/// Draws the sheet.
#[must_use]
pub fn draw(seed: &OwnerSeed, info: &SheetInfo) -> Zeroizing<String> {
    // Large enough never to move: no copy of the words is left behind.
    let mut out = Zeroizing::new(String::with_capacity(64 * 1024));
    let rule = "=".repeat(76);
    line(&mut out, &rule);
    line(
        &mut out,
        &format!(
            "packnback recovery sheet      owner {}      {}",
            owner_digits(seed),
            info.date
        ),
    );
    line(&mut out, &rule);
    line(
        &mut out,
        "Whoever holds these words can read and delete every backup of this owner.",
    );
    line(
        &mut out,
        "Without them nobody can bring anything back, you included. Keep this sheet away",
    );
    line(&mut out, "from the machines it is for.");
    line(&mut out, "");
    draw_words(&mut out, seed);
    line(&mut out, "");
    line(&mut out, "Friends who hold the backups:");
    if info.friends.is_empty() {
        line(
            &mut out,
            "  none yet. Invite one (packnback peer invite), then print this sheet again:",
        );
        line(&mut out, "  packnback key sheet");
    }
    for (name, addresses) in &info.friends {
        line(&mut out, &format!("  {name}"));
        for address in addresses {
            line(&mut out, &format!("    {address}"));
        }
    }
    line(&mut out, "");
    line(&mut out, "To bring everything back on a blank machine:");
    line(&mut out, "  1. Install packnback there.");
    line(
        &mut out,
        "  2. packnback recover --words --peer ADDRESS --target DIR",
    );
    line(
        &mut out,
        "     (ADDRESS: a whole line from above, up to its end, or what a friend's",
    );
    line(
        &mut out,
        "     `packnback status -v` says; --peer may be repeated for more friends)",
    );
    line(
        &mut out,
        "  3. Type the 24 words in the order of their numbers.",
    );
    if info.qr != QrStyle::None {
        line(&mut out, "");
        line(&mut out, "The same key as a QR code:");
        draw_qr(&mut out, seed, info.qr);
    }
    line(&mut out, &rule);
    out
}

fn line(out: &mut Zeroizing<String>, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// The words, numbered down the columns.
fn draw_words(out: &mut Zeroizing<String>, seed: &OwnerSeed) {
    let text = to_words(seed);
    let words: Vec<&str> = text.split(' ').collect();
    let rows = words.len().div_ceil(COLUMNS);
    for row in 0..rows {
        for (at, word) in words.iter().enumerate().skip(row).step_by(rows) {
            // Writing to a string does not fail.
            let _ok = write!(out, "  {:>2}. {word:<12}", at.saturating_add(1)).is_ok();
        }
        let trimmed = out.trim_end_matches(' ').len();
        out.truncate(trimmed);
        out.push('\n');
    }
}

fn draw_qr(out: &mut Zeroizing<String>, seed: &OwnerSeed, style: QrStyle) {
    let payload = to_qr(seed);
    // The payload is short text: there is always a code for it. If not, the words stand above.
    if let Some(picture) = draw_code(payload.as_bytes(), EcLevel::M, style) {
        line(out, &picture);
    }
}

/// A QR code of any text, if it fits one. Upper case, digits and `-:` take the least room.
#[must_use]
pub fn draw_code(payload: &[u8], level: EcLevel, style: QrStyle) -> Option<Zeroizing<String>> {
    let code = QrCode::with_error_correction_level(payload, level).ok()?;
    let (dark, light) = match style {
        QrStyle::Paper => (Dense1x2::Dark, Dense1x2::Light),
        _ => (Dense1x2::Light, Dense1x2::Dark),
    };
    let mut drawing = code.render::<Dense1x2>();
    Some(Zeroizing::new(
        drawing.dark_color(dark).light_color(light).build(),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_words_on_the_sheet_are_the_key() {
        let seed = OwnerSeed::from_bytes([42; 32]);
        let info = SheetInfo {
            friends: vec![(
                "ann".into(),
                vec!["/ip4/192.0.2.1/udp/4801/quic-v1/p2p/x".into()],
            )],
            date: "2026-11-23".into(),
            qr: QrStyle::Screen,
        };
        let sheet = draw(&seed, &info);
        let mut numbered: Vec<(usize, &str)> = Vec::new();
        let (key_part, _) = sheet.split_once("Friends who").unwrap();
        let tokens: Vec<&str> = key_part.split_whitespace().collect();
        for pair in tokens.windows(2) {
            let [number, word] = pair else { continue };
            let number = number.strip_suffix('.').and_then(|n| n.parse().ok());
            if let Some(number) = number.filter(|_| word.chars().all(|c| c.is_ascii_lowercase())) {
                numbered.push((number, word));
            }
        }
        numbered.sort_unstable();
        let words: Vec<&str> = numbered.iter().map(|(_, word)| *word).collect();
        let read = packnback_proto::words::from_words(&words.join(" ")).unwrap();
        assert_eq!(read.expose(), seed.expose());
        assert!(sheet.contains(&seed.owner_id().short()));
        assert!(sheet.contains("192.0.2.1"));
        assert!(sheet.lines().all(|line| line.chars().count() <= 90));
        assert!(sheet.contains('█') || sheet.contains('▀'));
    }
}
