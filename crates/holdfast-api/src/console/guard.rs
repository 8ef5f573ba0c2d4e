//! Whether a request that carries a session's cookie was meant by who signed in, and not made by another page.
//!
//! A browser sends cookies whoever made the request, and takes other ports of a host for the same site; so the cookie alone
//! is worth nothing. The console's scripts add a header, which no other page can without being allowed to (Fetch, §3.2), and
//! what browsers tell of the origin must agree.

use http::header::{COOKIE, HOST, ORIGIN};
use http::request::Parts;

use super::session::{Session, Sessions};

/// The header that the console's scripts add to each request.
pub(crate) const HEADER: &str = "holdfast-console";

/// The cookie.
pub(crate) const COOKIE_NAME: &str = "holdfast_session";

/// What a request's cookie says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// There is no cookie.
    None,
    /// It is over, was ended, or was never one of ours.
    Over,
    /// It was sent by another page, or with a request that the console did not make.
    Foreign,
    /// It stands.
    Session(Session),
}

/// Judges a request of a script: cookie and header.
pub(crate) fn of_script(sessions: &Sessions, request: &Parts, now_ms: u64) -> Claim {
    judge(sessions, request, now_ms, request.headers.contains_key(HEADER))
}

/// Judges a request that an element of the console's pages made, such as an image: it can carry no header, and may only read.
pub(crate) fn of_element(sessions: &Sessions, request: &Parts, now_ms: u64) -> Claim {
    judge(sessions, request, now_ms, request.method.is_safe())
}

fn judge(sessions: &Sessions, request: &Parts, now_ms: u64, is_meant: bool) -> Claim {
    let Some(cookie) = cookie(request) else {
        return Claim::None;
    };
    if !is_meant || !is_same_origin(request) {
        return Claim::Foreign;
    }
    match sessions.open(cookie, now_ms) {
        Some(session) => Claim::Session(session),
        None => Claim::Over,
    }
}

/// Whether what the browser tells of the origin agrees; old ones tell nothing.
pub(crate) fn is_same_origin(request: &Parts) -> bool {
    let text = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site_agrees = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let host = text(HOST.as_str()).or_else(|| request.uri.authority().map(http::uri::Authority::as_str));
    let origin_agrees = text(ORIGIN.as_str()).is_none_or(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some() && authority == host
    });
    site_agrees && origin_agrees
}

fn cookie(request: &Parts) -> Option<&str> {
    let lines = request.headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    named.next()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::super::session::Sessions;
    use super::{Claim, of_element, of_script};

    const NOW_MS: u64 = 1_767_323_045_678;

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder()
            .method(method)
            .uri("/v1/buckets")
            .header("host", "a:9001");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_cookie_counts_only_where_the_console_asks() {
        let sessions = Sessions::new(None);
        let session = sessions.begin("AK".to_owned(), NOW_MS);
        let cookie = format!("other=1; holdfast_session={}", sessions.seal(&session));
        let cookie = ("cookie", cookie.as_str());
        let own = ("holdfast-console", "1");
        let script = |method: &str, headers: &[(&str, &str)]| of_script(&sessions, &request(method, headers), NOW_MS);
        let stands = Claim::Session(session.clone());
        assert_eq!(script("PUT", &[cookie, own]), stands);
        assert_eq!(script("PUT", &[cookie, own, ("origin", "http://a:9001")]), stands);
        assert_eq!(script("PUT", &[own]), Claim::None);
        assert_eq!(script("PUT", &[cookie]), Claim::Foreign);
        assert_eq!(script("GET", &[cookie]), Claim::Foreign);
        for told in [
            ("origin", "http://a:8080"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
        ] {
            assert_eq!(script("PUT", &[cookie, own, told]), Claim::Foreign, "{told:?}");
        }
        let element = |method: &str, headers: &[(&str, &str)]| of_element(&sessions, &request(method, headers), NOW_MS);
        assert_eq!(element("GET", &[cookie, ("sec-fetch-site", "same-origin")]), stands);
        assert_eq!(
            element("GET", &[cookie, ("sec-fetch-site", "same-site")]),
            Claim::Foreign
        );
        assert_eq!(element("PUT", &[cookie]), Claim::Foreign);
        assert_eq!(script("GET", &[("cookie", "holdfast_session=00"), own]), Claim::Over);
    }
}
