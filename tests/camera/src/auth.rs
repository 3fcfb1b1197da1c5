//! Basic and Digest authentication (RFC 2617), as cameras ask for it.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use md5::{Digest as _, Md5};

const REALM: &str = "vas-test-camera";

/// How a password is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthScheme {
    /// The password travels in base64.
    Basic,
    /// Only an MD5 hash travels, salted with a nonce of the server's (without `qop`, as most cameras do it).
    Digest,
}

/// A user name and a password, and how they are asked for. Its `Debug` shows neither.
#[derive(Clone, PartialEq)]
pub struct Auth {
    scheme: AuthScheme,
    user: String,
    password: String,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// The text is not `USER:PASSWORD`. It is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "user name and password must be given as USER:PASSWORD; there is no colon, or no user name before it"
)]
pub struct CredentialsError;

impl Auth {
    /// Takes `USER:PASSWORD` apart at the first colon.
    pub fn new(scheme: AuthScheme, user_and_password: &str) -> Result<Auth, CredentialsError> {
        match user_and_password.split_once(':') {
            Some((user, password)) if !user.is_empty() => {
                Ok(Auth { scheme, user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(CredentialsError),
        }
    }

    /// `USER:PASSWORD`, for a camera that gives away what it knows.
    pub(crate) fn credentials(&self) -> String {
        format!("{}:{}", self.user, self.password)
    }

    /// The value of `WWW-Authenticate`.
    pub(crate) fn challenge(&self, nonce: &str) -> String {
        match self.scheme {
            AuthScheme::Basic => format!("Basic realm=\"{REALM}\""),
            AuthScheme::Digest => format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm=\"MD5\""),
        }
    }

    /// Whether the value of `Authorization` proves that the client knows the password.
    pub(crate) fn accepts(&self, authorization: &str, method: &str, nonce: &str) -> bool {
        let Some((scheme, rest)) = authorization.trim().split_once(' ') else { return false };
        match self.scheme {
            AuthScheme::Basic => {
                let expected = format!("{}:{}", self.user, self.password);
                scheme.eq_ignore_ascii_case("Basic")
                    && BASE64_STANDARD.decode(rest.trim()).is_ok_and(|given| given == expected.as_bytes())
            }
            AuthScheme::Digest => {
                scheme.eq_ignore_ascii_case("Digest") && self.digest_is_right(rest, method, nonce)
            }
        }
    }

    /// RFC 2617 3.2.2. The URI is the one the client hashed; whether it is the requested one is not checked: clients
    /// differ in how they write it, and this camera has one stream to guard.
    fn digest_is_right(&self, fields: &str, method: &str, nonce: &str) -> bool {
        let fields = parse_fields(fields);
        let field = |name: &str| {
            fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        let (Some(user), Some(realm), Some(uri), Some(response)) =
            (field("username"), field("realm"), field("uri"), field("response"))
        else {
            return false;
        };
        if user != self.user || realm != REALM || field("nonce") != Some(nonce) {
            return false;
        }
        let qop = match (field("qop"), field("nc"), field("cnonce")) {
            (None, ..) => None,
            (Some("auth"), Some(nc), Some(cnonce)) => Some((nc, cnonce)),
            _ => return false,
        };
        let expected = digest_response(&self.user, REALM, &self.password, method, uri, nonce, qop);
        response.eq_ignore_ascii_case(&expected)
    }
}

/// `request-digest` of RFC 2617 3.2.2.1, for the quality of protection `auth` (nonce count and client nonce) or none.
fn digest_response(
    user: &str,
    realm: &str,
    password: &str,
    method: &str,
    uri: &str,
    nonce: &str,
    qop: Option<(&str, &str)>,
) -> String {
    let a1 = md5_hex(&format!("{user}:{realm}:{password}"));
    let a2 = md5_hex(&format!("{method}:{uri}"));
    match qop {
        None => md5_hex(&format!("{a1}:{nonce}:{a2}")),
        Some((nc, cnonce)) => md5_hex(&format!("{a1}:{nonce}:{nc}:{cnonce}:auth:{a2}")),
    }
}

fn md5_hex(text: &str) -> String {
    format!("{:x}", Md5::digest(text))
}

/// A nonce nobody has seen before. `RandomState` is keyed by the operating system's random numbers, which is more
/// than a test camera needs.
pub(crate) fn fresh_nonce() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// `key=value, key="value", ...`; values in quotes may hold commas and escaped quotes.
fn parse_fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        let key: String = std::iter::from_fn(|| chars.next_if(|&c| c != '=')).collect();
        if chars.next().is_none() {
            return fields;
        }
        let mut value = String::new();
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => value.extend(chars.next()),
                    c => value.push(c),
                }
            }
        }
        while let Some(c) = chars.next_if(|&c| c != ',') {
            if !c.is_whitespace() {
                value.push(c);
            }
        }
        chars.next();
        fields.push((key.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_2617_gives_the_response_it_prints() {
        let response = digest_response(
            "Mufasa",
            "testrealm@host.com",
            "Circle Of Life",
            "GET",
            "/dir/index.html",
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            Some(("00000001", "0a4f113b")),
        );
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    fn authorization(password: &str, nonce: &str, method: &str) -> String {
        let response = digest_response("u", REALM, password, method, "rtsp://h/cam", nonce, None);
        format!(
            "Digest username=\"u\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"rtsp://h/cam\", response=\"{response}\""
        )
    }

    #[test]
    fn a_digest_is_right_for_one_password_one_nonce_and_one_method() {
        let auth = Auth::new(AuthScheme::Digest, "u:p:with colon").unwrap();
        assert!(auth.accepts(&authorization("p:with colon", "n1", "DESCRIBE"), "DESCRIBE", "n1"));
        assert!(!auth.accepts(&authorization("wrong", "n1", "DESCRIBE"), "DESCRIBE", "n1"));
        assert!(!auth.accepts(&authorization("p:with colon", "n0", "DESCRIBE"), "DESCRIBE", "n1"));
        assert!(!auth.accepts(&authorization("p:with colon", "n1", "SETUP"), "DESCRIBE", "n1"));
    }

    #[test]
    fn basic_takes_the_password_in_base64_and_nothing_else() {
        let auth = Auth::new(AuthScheme::Basic, "u:p").unwrap();
        assert!(auth.accepts("Basic dTpw", "DESCRIBE", ""));
        assert!(auth.accepts("basic  dTpw ", "DESCRIBE", ""));
        for wrong in ["", "Basic", "Basic dTpx", "Basic !!!", "Digest dTpw"] {
            assert!(!auth.accepts(wrong, "DESCRIBE", ""), "{wrong}");
        }
        assert_eq!(auth.challenge("n"), "Basic realm=\"vas-test-camera\"");
    }

    #[test]
    fn credentials_need_a_user_and_a_colon_and_are_not_repeated() {
        for wrong in ["", "secret", ":secret"] {
            let error = Auth::new(AuthScheme::Basic, wrong).err().unwrap().to_string();
            assert!(error.contains("USER:PASSWORD") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn fields_may_be_quoted_and_hold_commas() {
        let fields = parse_fields(r#"a="1,2" , b = 3,c="x\"y""#);
        let expected = [("a", "1,2"), ("b", "3"), ("c", "x\"y")];
        assert_eq!(fields, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn no_two_nonces_are_the_same() {
        assert_ne!(fresh_nonce(), fresh_nonce());
    }

    proptest! {
        #[test]
        fn any_authorization_is_refused_without_panic(text in "(Basic |Digest )?.{0,80}") {
            for scheme in [AuthScheme::Basic, AuthScheme::Digest] {
                let auth = Auth::new(scheme, "user:pass").unwrap();
                prop_assert!(!auth.accepts(&text, "DESCRIBE", "nonce"));
            }
        }
    }
}
