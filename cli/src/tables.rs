//! Tables for people: columns as wide as their widest cell, narrower where the terminal is. Words are never broken.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const GAP: usize = 2;

/// A table for so many columns of a terminal; `None`: as wide as it is. The first row is the head; `right` names the
/// columns of numbers, which stay in one piece. Where not even one word beside the other has room, each row becomes
/// lines of its own.
#[must_use]
pub fn layout(rows: &[Vec<String>], right: &[usize], room: Option<usize>) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    // The name of a column of numbers may take several lines, a number with its unit not.
    let whole = |at: usize, column: usize| at > 0 && right.contains(&column);
    let widest = |measure: fn(&str) -> usize| -> Vec<usize> {
        let mut widths = vec![0; count];
        for (at, row) in rows.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&mut widths).enumerate() {
                let own = if whole(at, column) {
                    cell.width()
                } else {
                    measure(cell)
                };
                *width = own.max(*width);
            }
        }
        widths
    };
    let natural = widest(UnicodeWidthStr::width);
    let least = widest(|cell| {
        cell.split(' ')
            .map(UnicodeWidthStr::width)
            .max()
            .unwrap_or(0)
    });
    let room = room.unwrap_or(usize::MAX);
    let Some(widths) = fitted(natural, &least, room) else {
        return stacked(rows, room);
    };
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        lines.extend(row_lines(row, &widths, right));
    }
    lines.join("\n")
}

/// Takes from the widest column until all fit.
fn fitted(mut widths: Vec<usize>, least: &[usize], room: usize) -> Option<Vec<usize>> {
    let gaps = GAP.saturating_mul(widths.len().saturating_sub(1));
    let mut over = widths
        .iter()
        .sum::<usize>()
        .saturating_add(gaps)
        .saturating_sub(room);
    while over > 0 {
        let loose = widths.iter_mut().zip(least);
        let loose = loose.filter(|(width, least)| **width > **least);
        let (width, _) = loose.max_by_key(|(width, _)| **width)?;
        *width = width.saturating_sub(1);
        over = over.saturating_sub(1);
    }
    Some(widths)
}

fn row_lines(row: &[String], widths: &[usize], right: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| wrapped(cell, *width))
        .collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|at| {
            let mut line = String::new();
            for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let text = cell.get(at).map_or("", String::as_str);
                let gap = " ".repeat(width.saturating_sub(text.width()));
                let (before, after) = if right.contains(&column) {
                    (gap.as_str(), "")
                } else {
                    ("", gap.as_str())
                };
                line.push_str(before);
                line.push_str(text);
                line.push_str(after);
                line.push_str("  ");
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
}

/// Lines of whole words; a word that is longer than a line has one for itself.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.width().saturating_add(word.width()) < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Each row by itself: the names of the columns before what is in them.
fn stacked(rows: &[Vec<String>], room: usize) -> String {
    let Some((head, body)) = rows.split_first() else {
        return String::new();
    };
    let mut lines = Vec::new();
    if body.is_empty() {
        lines.extend(wrapped(&head.join(" "), room));
    }
    for row in body {
        let cells = head.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        for (at, (name, cell)) in cells.enumerate() {
            let text = if name.is_empty() {
                cell.clone()
            } else {
                format!("{name}: {cell}")
            };
            let indent = if at == 0 { "" } else { "  " };
            let cells = wrapped(&text, room.saturating_sub(GAP.saturating_mul(2)));
            for (at, line) in cells.iter().enumerate() {
                let deeper = if at == 0 { "" } else { "  " };
                lines.push(format!("{indent}{deeper}{line}"));
            }
        }
    }
    lines.join("\n")
}

/// As much of a line as fits into so many columns; what was cut off is marked.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1usize;
    for c in text.chars() {
        used = used.saturating_add(c.width().unwrap_or(0));
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[&[&str]]) -> Vec<Vec<String>> {
        let row = |row: &&[&str]| row.iter().map(ToString::to_string).collect();
        text.iter().map(row).collect()
    }

    fn orders() -> Vec<Vec<String>> {
        rows(&[
            &["id", "received", "snapshots", "stored", "what"],
            &[
                "3f9a01c2",
                "2026-11-26 04:30:11",
                "12",
                "1.5 GiB",
                "delete up to 12 snapshots of device 77aa01ff, at every friend that holds them",
            ],
            &["77b2c3d4", "2026-11-25 10:00:00", "0", "950 MiB", "hold"],
        ])
    }

    /// All words of the rows, whole, and no line wider than asked for.
    fn holds(rows: &[Vec<String>], right: &[usize], room: usize) -> String {
        let text = layout(rows, right, Some(room));
        let said: Vec<&str> = text.split_whitespace().collect();
        for word in rows.iter().flatten().flat_map(|cell| cell.split(' ')) {
            let is_there = said.iter().any(|said| said.trim_end_matches(':') == word);
            assert!(word.is_empty() || is_there, "{word} is broken in:\n{text}");
        }
        for line in text.lines() {
            assert!(line.width() <= room, "{line:?} is wider than {room}");
            assert_eq!(line, line.trim_end());
        }
        text
    }

    #[test]
    fn columns_line_up() {
        let table = rows(&[&["a", "size"], &["long", "1"]]);
        assert_eq!(layout(&table, &[1], None), "a     size\nlong     1");
        // As wide as they look, not as many characters as they have.
        let table = rows(&[&["name", "size"], &["日本", "1"], &["abcd", "22"]]);
        assert_eq!(
            layout(&table, &[1], None),
            "name  size\n日本     1\nabcd    22"
        );
        assert_eq!(layout(&[], &[], Some(80)), "");
    }

    #[test]
    fn at_80_columns_the_longest_texts_take_several_lines() {
        let text = holds(&orders(), &[2, 3], 80);
        let first =
            "3f9a01c2  2026-11-26 04:30:11         12  1.5 GiB  delete up to 12 snapshots of";
        assert_eq!(text.lines().nth(1), Some(first), "{text}");
        assert_eq!(
            text.lines().last().map(|line| line.starts_with("77b2c3d4")),
            Some(true)
        );
        // Where it fits, nothing changes.
        let short = rows(&[&["a", "b"], &["1", "two words"]]);
        assert_eq!(layout(&short, &[0], Some(80)), layout(&short, &[0], None));
    }

    #[test]
    fn at_40_columns_each_row_takes_lines_of_its_own() {
        let text = holds(&orders(), &[2, 3], 40);
        assert!(
            text.starts_with("id: 3f9a01c2\n  received: 2026-11-26 04:30:11\n  snapshots: 12\n"),
            "{text}"
        );
        assert!(text.contains("\n  stored: 950 MiB\n"), "{text}");
        // Few columns stay columns, and numbers keep their units.
        let few = rows(&[
            &["friend", "of at most", "state"],
            &[
                "ann",
                "1.5 GiB",
                "off, last seen 2 h ago, and a good deal more",
            ],
        ]);
        let text = holds(&few, &[1], 40);
        assert!(text.contains("ann        1.5 GiB  off, last"), "{text}");
    }

    #[test]
    fn narrower_than_a_word_the_word_stays_whole() {
        let text = layout(&orders(), &[2, 3], Some(5));
        assert!(text.contains("snapshots"), "{text}");
        let head = rows(&[&["one", "two"]]);
        assert_eq!(layout(&head, &[], Some(3)), "one\ntwo");
    }

    #[test]
    fn a_line_is_cut_by_what_it_takes_on_the_screen() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("x", 0), "");
    }
}
