//! Conditional reads: `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`.
//!
//! Source: RFC 9110 §13.2.2, whose order of evaluation S3 follows: an ETag condition that holds overrules the date
//! beside it. Dates have whole seconds, as HTTP does.

/// A condition on an ETag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TagCondition {
    /// `*`: any object.
    Any,
    /// One of these, without quotes.
    OneOf(Vec<String>),
}

impl TagCondition {
    /// From the value of a header: `*`, or quoted ETags between commas. Weak ones compare like strong ones, since ours
    /// are all strong; unquoted ones are taken as they are, as S3 does.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        if value.trim() == "*" {
            return Self::Any;
        }
        let tags = value.split(',').map(|tag| {
            let tag = tag.trim();
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag.trim_matches('"').to_owned()
        });
        Self::OneOf(tags.collect())
    }

    fn holds(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

/// The conditions of one read. Dates are Unix seconds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conditions {
    /// Answer only if the ETag is one of these.
    pub if_match: Option<TagCondition>,
    /// Answer only if the ETag is none of these.
    pub if_none_match: Option<TagCondition>,
    /// Answer only if changed after this.
    pub if_modified_since_s: Option<i64>,
    /// Answer only if not changed after this.
    pub if_unmodified_since_s: Option<i64>,
}

/// What the conditions say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: not what the client expects.
    Failed,
}

impl Conditions {
    /// Judges an existing object.
    #[must_use]
    pub fn judge(&self, etag: &str, modified_ms: u64) -> Verdict {
        let modified_s = i64::try_from(modified_ms / 1000).unwrap_or(i64::MAX);
        match (&self.if_match, self.if_unmodified_since_s) {
            (Some(condition), _) if !condition.holds(etag) => return Verdict::Failed,
            (None, Some(since)) if modified_s > since => return Verdict::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since_s) {
            (Some(condition), _) if condition.holds(etag) => Verdict::NotModified,
            (None, Some(since)) if modified_s <= since => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Conditions, TagCondition, Verdict};

    #[test]
    fn tags_parse_quoted_weak_listed_and_bare() {
        assert_eq!(TagCondition::parse(" * "), TagCondition::Any);
        assert_eq!(
            TagCondition::parse("\"a\", W/\"b\", c"),
            TagCondition::OneOf(vec!["a".into(), "b".into(), "c".into()])
        );
    }

    #[test]
    fn a_tag_that_matches_overrules_the_date_beside_it() {
        let modified_ms = 10_500;
        let judge = |if_match: Option<&str>, unmodified, if_none_match: Option<&str>, modified| {
            Conditions {
                if_match: if_match.map(TagCondition::parse),
                if_none_match: if_none_match.map(TagCondition::parse),
                if_modified_since_s: modified,
                if_unmodified_since_s: unmodified,
            }
            .judge("e", modified_ms)
        };
        assert_eq!(judge(None, None, None, None), Verdict::Proceed);
        assert_eq!(judge(Some("\"e\""), None, None, None), Verdict::Proceed);
        assert_eq!(judge(Some("\"f\""), None, None, None), Verdict::Failed);
        assert_eq!(judge(Some("\"e\""), Some(5), None, None), Verdict::Proceed);
        assert_eq!(judge(None, Some(5), None, None), Verdict::Failed);
        assert_eq!(judge(None, Some(10), None, None), Verdict::Proceed);
        assert_eq!(judge(None, None, Some("*"), None), Verdict::NotModified);
        assert_eq!(judge(None, None, Some("\"f\""), Some(20)), Verdict::Proceed);
        assert_eq!(judge(None, None, None, Some(10)), Verdict::NotModified);
        assert_eq!(judge(None, None, None, Some(9)), Verdict::Proceed);
    }
}
