//! The address of a camera, kept apart from its password.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::failure::{Failure, Outcome};

/// Where a camera is, without a word of who may look at it.
#[derive(PartialEq, Eq)]
pub(crate) struct Address {
    /// The URL without user and password.
    pub(crate) url: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl Address {
    /// Takes user and password out of the URL. No sentence of a failure repeats the URL: it may hold a password.
    pub(crate) fn parse(url: &str) -> Outcome<Self> {
        let usage = |what: &str| Err(Failure { sentence: format!("--camera: {what}"), code: 2 });
        let Some((scheme, rest)) = url.split_once("://") else {
            return usage("an address such as rtsp://192.0.2.7:554/stream is needed, this one has no ://");
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains('@') {
            // Perhaps a password with a raw '/': then everything up to this @ is secret.
            return usage(
                "there is an @ behind the host: write special characters of user and password as %XX (/ is %2F, @ is %40)",
            );
        }
        let (userinfo, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        if host.is_empty() {
            return usage("the address has no host");
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        let (mut username, mut password) = (None, None);
        if let Some(userinfo) = userinfo {
            let (user, secret) =
                userinfo.split_once(':').map_or((userinfo, None), |(user, secret)| (user, Some(secret)));
            match (decoded(user), secret.map(decoded).transpose()) {
                (Ok(user), Ok(secret)) => (username, password) = (Some(user), secret),
                _ => return usage("user or password is not UTF-8 once its %XX are decoded"),
            }
        }
        Ok(Self { url: format!("{scheme}://{host}{path}"), username, password })
    }
}

/// For people: without the query, in which some cameras want the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.split('?').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(url: &str) -> Address {
        Address::parse(url).unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[test]
    fn user_and_password_are_taken_out_and_decoded() {
        let address = parsed("rtsp://admin:p%40ss%2Fw@192.0.2.7:554/s?channel=1");
        assert_eq!(address.url, "rtsp://192.0.2.7:554/s?channel=1");
        assert_eq!(address.username.as_deref(), Some("admin"));
        assert_eq!(address.password.as_deref(), Some("p@ss/w"));
        assert_eq!(address.to_string(), "rtsp://192.0.2.7:554/s");
    }

    #[test]
    fn an_address_without_a_user_stays_as_it_is() {
        let address = parsed("rtsp://[2001:db8::1]/cam");
        assert_eq!(address.url, "rtsp://[2001:db8::1]/cam");
        assert_eq!((address.username, address.password), (None, None));
    }

    #[test]
    fn a_raw_at_sign_in_a_password_still_belongs_to_it() {
        assert_eq!(parsed("rtsp://u:a@b@host/").password.as_deref(), Some("a@b"));
    }

    #[test]
    fn a_refusal_never_repeats_the_address() {
        for url in
            ["rtsp://u:secret/word@host/cam", "secret", "rtsp://u:secret@/cam", "rtsp://u:secret%ff@host/"]
        {
            let failure = Address::parse(url).err().map(|failure| (failure.code, failure.sentence));
            let (code, sentence) = failure.unwrap_or_else(|| panic!("{url} was taken"));
            assert_eq!(code, 2);
            assert!(!sentence.contains("secret"), "{sentence}");
        }
    }
}
