//! Bytes and durations as people write and read them.
//!
//! Sizes are read with decimal and binary suffixes (`2TB`, `8MiB`) and written in binary ones with three digits. Ages are
//! written in one unit. No floats on the way in: `1.5GB` is refused rather than rounded, because a capacity decides
//! where data goes.

/// Parses `4096`, `8MiB`, `2TB` (also `K`, `M`, `G`, `T`, `P`, which are decimal, as on the label of a disk).
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a size: write for example 2TB or 512GiB"))?;
    let factor: u64 = match suffix.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "p" | "pb" => 1_000_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "pib" => 1 << 50,
        _ => return Err(format!("`{text}` is not a size: write for example 2TB or 512GiB")),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("`{text}` is more than fits in 64 bits"))
}

/// `1.23 GiB`; exact below 1 KiB.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    // Hundredths, so that no float decides what is shown.
    let mut hundredths = u128::from(bytes) * 100 / 1024;
    while hundredths >= 102_400 && unit + 1 < UNITS.len() {
        hundredths /= 1024;
        unit += 1;
    }
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    match whole {
        0..10 => format!("{whole}.{rest:02} {}", UNITS[unit]),
        10..100 => format!("{whole}.{} {}", rest / 10, UNITS[unit]),
        _ => format!("{whole} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_systems() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("2TB"), Ok(2_000_000_000_000));
        assert_eq!(parse_bytes("512 GiB"), Ok(512 << 30));
        assert_eq!(parse_bytes("10k"), Ok(10_000));
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in ["", "TB", "1.5GB", "-1", "10 furlongs", "99999999999999P"] {
            let error = parse_bytes(text).expect_err(text);
            assert!(error.contains(text.trim()), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_with_three_digits() {
        assert_eq!(show_bytes(0), "0 B");
        assert_eq!(show_bytes(1023), "1023 B");
        assert_eq!(show_bytes(1024), "1.00 KiB");
        assert_eq!(show_bytes(1536), "1.50 KiB");
        assert_eq!(show_bytes(12 << 20), "12.0 MiB");
        assert_eq!(show_bytes(500 << 30), "500 GiB");
        assert_eq!(show_bytes(u64::MAX), "15.9 EiB");
    }
}
