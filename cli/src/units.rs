//! Sizes, durations and points in time as people write them: one parser for each, for every command.
//!
//! A bare number is refused. `--min-age 30` was meant as days by whoever wrote it, and seconds would have
//! been one day; nobody finds out before the snapshots are gone.

use jiff::{Span, SpanRelativeTo};

const DAY_S: u64 = 86_400;

/// Sizes: `500M`, `10GiB`, `1T`, `4096B`. Units are powers of 1,024.
///
/// # Errors
/// When the text is no size, or has no unit.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not a size such as 500M or 10G");
    if is_bare(text) {
        return Err(format!(
            "{text} what? Write {text}M or {text}G, or {text}B for bytes"
        ));
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    let (digits, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("{text} is too large"))
}

/// Durations: `90s`, `30min`, `12h`, `7d`, `2w`, `1d 12h`; in seconds, rounded up.
///
/// # Errors
/// When the text is no duration, has no unit, or one that is not always as long.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not a duration such as 90s, 12h, 7d or 2w");
    if is_bare(text) {
        return Err(format!(
            "{text} what? Write {text}d for days, {text}h for hours, {text}s for seconds"
        ));
    }
    let span: Span = text.parse().map_err(|_| wrong())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!(
            "{text}: months and years are not always as long. Write days, such as 30d or 365d (minutes are \"min\")"
        ));
    }
    if span.is_negative() {
        return Err(wrong());
    }
    let day = SpanRelativeTo::days_are_24_hours();
    let exact = span.to_duration(day).map_err(|_| wrong())?;
    let seconds = u64::try_from(exact.as_secs()).map_err(|_| wrong())?;
    Ok(seconds.saturating_add(u64::from(exact.subsec_nanos() > 0)))
}

/// Durations that count in whole days: `7d`, `4w`, `48h`.
///
/// # Errors
/// When the text is no duration, or not whole days: hosts count in days, and neither more nor less than
/// what was written is to be signed.
pub fn parse_days(text: &str) -> Result<u64, String> {
    let seconds = parse_duration(text)?;
    if seconds.is_multiple_of(DAY_S) {
        return Ok(seconds / DAY_S);
    }
    let days = seconds / DAY_S;
    let or = match days {
        0 => "1d".to_owned(),
        _ => format!("{days}d or {}d", days.saturating_add(1)),
    };
    // One letter, two meanings, and a factor of 43,200 between them.
    let minutes = text.trim_end().ends_with('m');
    let hint = if minutes {
        " (m is minutes; a month is 30d)"
    } else {
        ""
    };
    Err(format!(
        "{} is not a whole number of days: write {or}{hint}",
        text.trim()
    ))
}

/// Days where the option's name says so: `30`, or any duration of whole days; at least one.
///
/// # Errors
/// When the text is neither.
pub fn parse_number_of_days(text: &str) -> Result<u64, String> {
    let days = match text.trim().parse::<u64>() {
        Ok(days) => days,
        Err(_) => parse_days(text)?,
    };
    match days {
        0 => Err(format!("{text} is less than a day")),
        days => Ok(days),
    }
}

/// A number alone.
fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// Points in time: `2026-11-01` (midnight in UTC), `2026-11-01T08:00:00Z`, `@1793491200`; in unix
/// seconds.
///
/// # Errors
/// When the text is none of these.
pub fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text} is not a time such as 2026-11-01 or 2026-11-01T08:00:00Z");
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().map_err(|_| wrong());
    }
    let stamp = match text.parse::<jiff::Timestamp>() {
        Ok(stamp) => stamp,
        Err(_) => {
            let date: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
            let zoned = date.to_zoned_datetime(jiff::tz::TimeZone::UTC);
            zoned.map_err(|_| wrong())?.timestamp()
        }
    };
    u64::try_from(stamp.as_second()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_size("10B"), Ok(10));
        assert_eq!(parse_size("10 GiB"), Ok(10 << 30));
        assert_eq!(parse_size("3t"), Ok(3 << 40));
        for bad in [
            "",
            "x",
            "M",
            "10q",
            "-1M",
            "1.5G",
            "99999999999999999999B",
            "99999999P",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        for bare in ["0", "10", " 500 ", "67108864"] {
            let said = parse_size(bare).unwrap_err();
            assert!(said.contains("what? Write"), "{said}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1800),
            ("30 min", 1800),
            ("12h", 43_200),
            ("7d", 604_800),
            ("7 days", 604_800),
            ("2w", 1_209_600),
            ("1d 12h", 129_600),
            ("0d", 0),
            ("1500ms", 2),
        ] {
            assert_eq!(parse_duration(text), Ok(seconds), "{text}");
        }
        for bare in ["0", "7", "30", " 90 ", "1.5"] {
            let said = parse_duration(bare).unwrap_err();
            assert!(said.contains("what? Write"), "{said}");
        }
        for bad in [
            "",
            "d",
            "x",
            "-7d",
            "7 days ago",
            "1mo",
            "1y",
            "7q",
            "d7",
            "7d7",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        let month = parse_duration("3 months").unwrap_err();
        assert!(month.contains("30d"), "{month}");
    }

    #[test]
    fn days_are_neither_rounded_nor_guessed() {
        assert_eq!((parse_days("48h"), parse_days("2w")), (Ok(2), Ok(14)));
        assert_eq!(parse_days("0d"), Ok(0));
        for (text, hint) in [
            ("30", "30d"),
            ("36h", "1d or 2d"),
            ("30s", "1d"),
            ("1m", "a month is 30d"),
            ("1mo", "30d"),
        ] {
            let said = parse_days(text).unwrap_err();
            assert!(said.contains(hint), "{text}: {said}");
        }
        assert_eq!(parse_number_of_days("30"), Ok(30));
        assert_eq!(parse_number_of_days("2w"), Ok(14));
        assert!(parse_number_of_days("0").is_err() && parse_number_of_days("1h").is_err());
    }

    #[test]
    fn times_are_absolute() {
        assert_eq!(parse_time("1970-01-02"), Ok(86_400));
        assert_eq!(parse_time("1970-01-01T00:01:00Z"), Ok(60));
        assert_eq!(parse_time("@7"), Ok(7));
        for bad in ["", "yesterday", "1969-12-31", "2026-13-01", "@-1"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
