//! The XML of a listing, written straight from the page.
//!
//! Listings are the one answer whose document costs more than everything else about it: through `s3s`'s types a page of
//! 1,000 keys took about six million instructions, half of them for dates and escaping. Here it is one pass over the
//! records into one buffer. [`super::envelope`] puts the document in place of the empty one that `s3s` makes.

use bytes::Bytes;
use holdfast_core::request::{Page, PageEntry};
use holdfast_core::wire::encoded::VersionView;

use super::list::url_encode;
use crate::checksum::{Algorithm, is_composite};

/// A document that takes the place of the one `s3s` makes; travels in the answer's extensions.
#[derive(Clone)]
pub(super) struct ReadyXml(pub(super) Bytes);

/// Room for one entry with a key of middle length.
const ENTRY_BYTES: usize = 320;

/// A document being written.
pub(super) struct Document {
    text: String,
    /// Whether keys and prefixes are percent-encoded (`encoding-type=url`).
    encode: bool,
    /// The owner shown of every object.
    owner: Option<String>,
    /// Objects and common prefixes written.
    pub(super) entries: usize,
}

impl Document {
    /// Begins a `ListBucketResult`.
    pub(super) fn new(encode: bool, owner: Option<String>, entries: usize) -> Self {
        let mut text = String::with_capacity(1024 + entries * ENTRY_BYTES);
        text.push_str(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        );
        Self {
            text,
            encode,
            owner,
            entries: 0,
        }
    }

    /// An element with text of ours, which needs no escaping.
    pub(super) fn plain(&mut self, name: &str, value: &str) {
        self.open(name);
        self.text.push_str(value);
        self.close(name);
    }

    /// An element with text of a client's, encoded if the listing is.
    pub(super) fn given(&mut self, name: &str, value: &str) {
        self.open(name);
        if self.encode {
            self.text.push_str(&url_encode(value));
        } else {
            escape(value, &mut self.text);
        }
        self.close(name);
    }

    /// An element with a client's text that is never encoded.
    pub(super) fn verbatim(&mut self, name: &str, value: &str) {
        self.open(name);
        escape(value, &mut self.text);
        self.close(name);
    }

    /// All entries of a page: objects in order, then common prefixes, as S3 has them.
    pub(super) fn page(&mut self, page: &Page) {
        for entry in &page.entries {
            if let PageEntry::Object { key, record } = entry
                && let Some(version) = record.visible()
            {
                self.object(key, &version);
                self.entries += 1;
            }
        }
        for entry in &page.entries {
            if let PageEntry::CommonPrefix(prefix) = entry {
                self.text.push_str("<CommonPrefixes>");
                self.given("Prefix", prefix);
                self.text.push_str("</CommonPrefixes>");
                self.entries += 1;
            }
        }
    }

    fn object(&mut self, key: &str, version: &VersionView<'_>) {
        let content = &version.content;
        self.text.push_str("<Contents>");
        self.given("Key", key);
        self.text.push_str("<LastModified>");
        date(version.dot.tick.millis(), &mut self.text);
        self.text.push_str("</LastModified><ETag>&quot;");
        self.text.push_str(content.etag);
        self.text.push_str("&quot;</ETag>");
        let mut checksums = content
            .headers()
            .filter_map(|(name, value)| Some((Algorithm::from_header(name)?, value)));
        if let Some((algorithm, value)) = checksums.next() {
            self.plain("ChecksumAlgorithm", algorithm.name());
            let kind = if is_composite(value) {
                "COMPOSITE"
            } else {
                "FULL_OBJECT"
            };
            self.plain("ChecksumType", kind);
        }
        self.text.push_str("<Size>");
        number(content.size, 1, &mut self.text);
        self.text.push_str("</Size>");
        if let Some(owner) = &self.owner {
            self.text.push_str("<Owner><ID>");
            self.text.push_str(owner);
            self.text.push_str("</ID><DisplayName>holdfast</DisplayName></Owner>");
        }
        self.text.push_str("<StorageClass>STANDARD</StorageClass></Contents>");
    }

    /// Ends the document.
    pub(super) fn finish(mut self) -> ReadyXml {
        self.text.push_str("</ListBucketResult>");
        ReadyXml(Bytes::from(self.text))
    }

    fn open(&mut self, name: &str) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
    }

    fn close(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }
}

/// Text as XML content. Control characters become references, as S3 writes them, though XML 1.0 has no such characters:
/// clients that list such keys must ask for `encoding-type=url`.
pub(super) fn escape(text: &str, out: &mut String) {
    // Most text is clean, and one pass that only asks is done many bytes at a time.
    if !text
        .bytes()
        .any(|byte| matches!(byte, b'&' | b'<' | b'>' | b'"' | 0..0x20))
    {
        return out.push_str(text);
    }
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        let reference = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[clean..at]);
        clean = at + 1;
        if reference.is_empty() {
            out.push_str("&#");
            number(u64::from(byte), 1, out);
            out.push(';');
        } else {
            out.push_str(reference);
        }
    }
    out.push_str(&text[clean..]);
}

/// `2026-01-02T03:04:05.678Z`. Days to dates after Howard Hinnant's `civil_from_days`.
fn date(unix_ms: u64, out: &mut String) {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next) = if month_from_march < 10 {
        (month_from_march + 3, 0)
    } else {
        (month_from_march - 9, 1)
    };
    number(era * 400 + year_of_era + next, 4, out);
    for (separator, value, digits) in [
        ('-', month, 2),
        ('-', day, 2),
        ('T', second / 3_600, 2),
        (':', second / 60 % 60, 2),
        (':', second % 60, 2),
        ('.', ms, 3),
    ] {
        out.push(separator);
        number(value, digits, out);
    }
    out.push('Z');
}

/// A number in decimal, with at least so many digits.
fn number(mut value: u64, digits: usize, out: &mut String) {
    let mut buffer = [b'0'; 20];
    let mut at = buffer.len();
    while value > 0 {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
    let at = at.min(buffer.len() - digits);
    out.push_str(std::str::from_utf8(&buffer[at..]).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::{date, escape, number};

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut text = String::new();
        write(&mut text);
        text
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (4_102_444_799_000, "2099-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(written(|out| date(unix_ms, out)), expected);
        }
    }

    #[test]
    fn text_is_escaped_and_numbers_padded() {
        assert_eq!(
            written(|out| escape("a<b>&\"ü\u{1}\n", out)),
            "a&lt;b&gt;&amp;&quot;ü&#1;&#10;"
        );
        assert_eq!(written(|out| escape("plain", out)), "plain");
        assert_eq!(written(|out| number(0, 1, out)), "0");
        assert_eq!(written(|out| number(7, 3, out)), "007");
        assert_eq!(written(|out| number(u64::MAX, 1, out)), "18446744073709551615");
    }
}
