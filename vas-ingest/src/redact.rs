//! Text that may hold a password, made fit for a log.
//!
//! Passwords of the configuration never get near a log: they live in a type without a text form. This is for words that
//! come from outside (FFmpeg's lines, a mistyped command line, a configuration that cannot be read).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// What stands in the place of what was taken out.
const MASK: &str = "***";

/// Query parameters and path pieces that cameras take passwords in.
const SECRET_KEYS: [&str; 8] = ["password", "passwd", "pass", "pwd", "psw", "token", "secret", "auth"];

/// Authentication schemes whose credentials are the next word.
const TOKEN_SCHEMES: [&str; 2] = ["basic", "bearer"];

/// RFC 3986 unreserved characters; everything else in a user name or password is percent-encoded in a URL, and has to be
/// found like that.
pub(crate) const USERINFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A shorter password is found in half of all words: masking these would hide everything but the password.
const SHORTEST_KNOWN: usize = 3;

/// Passwords in each form in which a camera might send them back, the longest first.
static KNOWN: Mutex<Vec<SecretString>> = Mutex::new(Vec::new());

/// From now on [`text`] takes this password out wherever it stands: as it is, percent-encoded, and as the credentials of
/// Basic authentication.
pub(crate) fn remember(username: Option<&str>, password: &SecretString) {
    let plain = password.expose_secret();
    let pair = format!("{}:{plain}", username.unwrap_or_default());
    // The end of base64 with padding is the end of base64 without.
    let forms =
        [plain.to_owned(), utf8_percent_encode(plain, USERINFO).to_string(), STANDARD_NO_PAD.encode(pair)];
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    for form in forms.into_iter().filter(|_| plain.len() >= SHORTEST_KNOWN).map(SecretString::from) {
        if known.iter().all(|other| other.expose_secret() != form.expose_secret()) {
            known.push(form);
        }
    }
    known.sort_by_key(|form| std::cmp::Reverse(form.expose_secret().len()));
}

fn without_known(text: &str) -> Cow<'_, str> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().fold(Cow::Borrowed(text), |text, form| match text.contains(form.expose_secret()) {
        true => Cow::Owned(text.replace(form.expose_secret(), MASK)),
        false => text,
    })
}

/// The same text without credentials of URLs (`scheme://user:password@`, `//user:password@`, `user:password@`,
/// percent-encoded or not), of authentication headers (`Basic ..`), without the values of parameters such as `password=`,
/// and without the passwords of the cameras; control characters, which could forge a line, become `?`.
#[must_use]
pub fn text(text: &str) -> String {
    let mut text = without_credentials(text);
    // What was taken out may have stood between the two ends of something else. Each time there is less that is no mask, so it ends.
    loop {
        let less = without_credentials(&text);
        if less == text {
            break;
        }
        text = less;
    }
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

fn without_credentials(text: &str) -> String {
    let text = without_known(text);
    let text = without(&text, userinfo);
    let text = without(&text, bare_userinfo);
    let text = without(&text, authorization);
    without(&text, secret_value).into_owned()
}

/// One argument of the command line, known from its beginning to its end: so nothing before its last `@` is shown, whatever
/// characters a password has, except a plain `front=rtsp://`.
#[must_use]
pub fn argument(argument: &str) -> String {
    let Some(at) = argument.rfind('@') else { return text(argument) };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=');
    let beginning = argument[..at].split_once("://").map_or(0, |(beginning, _)| {
        if beginning.chars().all(plain) { beginning.len() + "://".len() } else { 0 }
    });
    text(&format!("{}{MASK}{}", &argument[..beginning], &argument[at..]))
}

/// Does this URL, or what somebody gave for one, hold a password that anybody who sees it could read?
#[must_use]
pub fn holds_password(place: &str) -> bool {
    let userinfo = place.rfind('@').map(|at| &place[..at]);
    let userinfo = userinfo.map(|text| text.split_once("//").map_or(text, |(_, behind)| behind));
    let password = userinfo.and_then(|text| text.split_once(':')).map(|(_, password)| password);
    password.is_some_and(|password| !password.is_empty()) || secret_value(place, 0).is_some()
}

/// Is this a camera's address with a slip in its beginning, such as `rtsp:/HOST` or `USER:PASSWORD@HOST`? As a file's name
/// it would be repeated in a sentence.
pub(crate) fn is_like_an_address(place: &str) -> bool {
    let scheme = place.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let has_credentials = place.rfind('@').is_some_and(|at| place[..at].contains(':'));
    !place.contains("://") && (has_credentials || matches!(scheme.as_deref(), Some("rtsp" | "rtsps")))
}

/// Where a URL in running text ends at the latest.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')
}

/// The same text with everything masked that `find` finds.
fn without<'a>(text: &'a str, find: impl Fn(&str, usize) -> Option<Range<usize>>) -> Cow<'a, str> {
    let mut out = String::new();
    let mut copied = 0;
    while let Some(found) = find(text, copied) {
        out.push_str(&text[copied..found.start]);
        out.push_str(MASK);
        copied = found.end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The credentials of the first URL from `from` on: between `//` and the last `@` of the word.
///
/// The last one, and not the last before the path: a password that somebody forgot to encode may hold `@` and `/`. One that
/// holds a space or a quote goes on behind the word; then it is the last `@` before the path. And one that holds `//` may look as if
/// it began there: what stands before that in the same word belongs to it.
fn userinfo(text: &str, from: usize) -> Option<Range<usize>> {
    let mut at = from;
    let mut word_start = None;
    loop {
        let start = at + text[at..].find("//")? + 2;
        let begin = word_start.filter(|_| !text[at..start].contains(ends_url)).unwrap_or(start);
        word_start = Some(begin);
        let rest = &text[start..];
        let word = &rest[..rest.find(ends_url).unwrap_or(rest.len())];
        let authority = &rest[..rest.find(['/', '?', '#', '\n']).unwrap_or(rest.len())];
        let in_authority = authority.rfind('@').filter(|&len| authority[..len].contains(':'));
        if let Some(len) = word.rfind('@').max(in_authority) {
            return Some(begin..start + len);
        }
        at = start;
    }
}

/// The credentials of the first `user:password@` from `from` on that no `//` stands before.
fn bare_userinfo(text: &str, from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let sign = at + text[at..].find('@')?;
        let start = text[at..sign].char_indices().rfind(|&(_, c)| ends_url(c));
        let start = start.map_or(at, |(i, c)| at + i + c.len_utf8());
        let end = text[sign..].find(ends_url).map_or(text.len(), |len| sign + len);
        let last = text[start..end].rfind('@').map_or(sign, |len| start + len);
        let inside = &text[start..last];
        // `front=` is a name. Behind a colon, a = may be a password's.
        let name = inside.find('=').filter(|&len| !inside[..len].contains(':')).map_or(0, |len| len + 1);
        let is_masked = inside.ends_with("//***");
        if inside[name..].contains(':') && !is_masked {
            return Some(start + name..last);
        }
        at = end;
    }
}

/// The credentials behind the first name of an authentication scheme from `from` on: a camera may send back what it got.
fn authorization(text: &str, from: usize) -> Option<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let word_at = |start: usize| {
        let end =
            text[start..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(text.len(), |len| start + len);
        start..end
    };
    let mut at = from;
    loop {
        let start = at + text[at..].find(|c: char| c.is_ascii_alphanumeric())?;
        let word = word_at(start);
        at = word.end;
        let rest = &text[word.end..];
        let value = word.end + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
        if value == word.end {
            continue;
        }
        let line = &text[value..];
        let line = &line[..line.find(['\r', '\n']).unwrap_or(line.len())];
        let len = match &lower[word] {
            scheme if TOKEN_SCHEMES.contains(&scheme) => line.find(ends_url).unwrap_or(line.len()),
            // Many parameters: the hash that answers for the password is one of them.
            "digest" if line.contains('=') => line.len(),
            _ => 0,
        };
        if len > 0 {
            return Some(value..value + len);
        }
    }
}

/// The value behind the first secret key from `from` on.
fn secret_value(text: &str, from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let equals = at + text[at..].find('=')?;
        let key_start = text[..equals]
            .rfind(|c: char| !c.is_ascii_alphanumeric())
            .map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
        let value_start = equals + 1;
        let value_end = text[value_start..]
            .find(|c| ends_url(c) || matches!(c, '&' | ';' | ','))
            .map_or(text.len(), |len| value_start + len);
        let key = text[key_start..equals].to_ascii_lowercase();
        if SECRET_KEYS.contains(&key.as_str()) && value_end > value_start {
            return Some(value_start..value_end);
        }
        at = value_start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_urls_are_masked() {
        for (raw, masked) in [
            ("rtsp://admin:secret@10.0.0.5:554/s1", "rtsp://***@10.0.0.5:554/s1"),
            ("rtsp://admin@10.0.0.5/s1", "rtsp://***@10.0.0.5/s1"),
            // Percent-encoded.
            ("rtsp://a%40b:p%40ss%3Aw%2Frd@cam/s", "rtsp://***@cam/s"),
            // As FFmpeg prints an URL it could not make sense of.
            ("Did you mean file:rtsp://user:pw@cam/s?", "Did you mean file:rtsp://***@cam/s?"),
            ("[tcp] //u:p@host:554?timeout=0", "[tcp] //***@host:554?timeout=0"),
            // Somebody forgot to encode it.
            ("rtsp://admin:p@ss/w@rd@cam/s", "rtsp://***@cam/s"),
            // Several in one line.
            ("from rtsp://a:b@c/d to \"rtsp://e:f@g/h\"", "from rtsp://***@c/d to \"rtsp://***@g/h\""),
            // A password with a space, and one with a quote.
            ("open rtsp://admin:hun ter2@cam/s: refused", "open rtsp://***@cam/s: refused"),
            ("rtsp://admin:hun'ter2@cam/s", "rtsp://***@cam/s"),
            ("rtsp://admin:p@ss wo:rd@cam/s", "rtsp://***@cam/s"),
            // One with slashes and a space: what is before the slashes is a part of it.
            ("rtsp://admin:p://hun t:er2@cam/s", "rtsp://***@cam/s"),
            ("rtsp://admin:hun ter2@cam,rtsp://me:too@cam", "rtsp://***@cam"),
            ("see //docs and rtsp://admin:p//w x:y@cam/s", "see //docs and rtsp://***@cam/s"),
            // Slips in the beginning.
            ("rtsp:/admin:secret@cam/s", "***@cam/s"),
            ("open rtsp:admin:secret@cam/s", "open ***@cam/s"),
            ("front=admin:se=cret@cam/s", "front=***@cam/s"),
            ("\"admin:s@ecret@cam/s\"", "\"***@cam/s\""),
            ("[h264 @ 0x55d0] at 12:30 mail@example.org", "[h264 @ 0x55d0] at 12:30 mail@example.org"),
            ("rtsp://cam.example/one and mail@example.org", "rtsp://cam.example/one and mail@example.org"),
            ("nothing to hide", "nothing to hide"),
            ("", ""),
        ] {
            assert_eq!(text(raw), masked, "{raw}");
        }
    }

    #[test]
    fn passwords_in_parameters_are_masked() {
        for (raw, masked) in [
            (
                "rtsp://cam/s?user=admin&password=secret&channel=1",
                "rtsp://cam/s?user=admin&password=***&channel=1",
            ),
            ("rtsp://cam/user=admin_password=tlJwpbo6_channel=1", "rtsp://cam/user=admin_password=***"),
            ("rtsp://cam/s?pwd=x", "rtsp://cam/s?pwd=***"),
            ("rtsp://cam/s?PWD=x y", "rtsp://cam/s?PWD=*** y"),
            ("speed=3 bypass=no", "speed=3 bypass=no"),
            ("password=", "password="),
        ] {
            assert_eq!(text(raw), masked, "{raw}");
        }
    }

    #[test]
    fn credentials_of_authentication_headers_are_masked() {
        for (raw, masked) in [
            ("401 Basic YWRtaW46aHVudGVyMg==", "401 Basic ***"),
            ("got <Authorization: basic  YWRt> from you", "got <Authorization: basic  ***> from you"),
            ("Bearer abc.def-ghi, sorry", "Bearer *** sorry"),
            ("bad Digest username=\"admin\", response=\"0123\"", "bad Digest ***"),
            ("the digest differs", "the digest differs"),
            ("Basic", "Basic"),
        ] {
            assert_eq!(text(raw), masked, "{raw}");
        }
    }

    #[test]
    fn known_passwords_are_masked_in_each_of_their_forms() {
        remember(Some("admin"), &SecretString::from("kn%wn p@ssword".to_owned()));
        for raw in ["kn%wn p@ssword", "kn%25wn%20p%40ssword", "YWRtaW46a24ld24gcEBzc3dvcmQ="] {
            let masked = text(&format!("404 no <{raw}> here"));
            assert!(masked == "404 no <***> here" || masked == "404 no <***=> here", "{masked}");
        }
        // It would be found everywhere.
        remember(None, &SecretString::from("e".to_owned()));
        assert_eq!(text("here"), "here");
    }

    #[test]
    fn of_an_argument_nothing_before_the_last_at_is_shown() {
        for (raw, masked) in [
            ("front=rtsp://admin:hun ter2@cam/s", "front=rtsp://***@cam/s"),
            ("front=rtsp://admin:hun'ter/2@cam/s", "front=rtsp://***@cam/s"),
            ("front=rtsp:/admin:hunter2@cam/s", "***@cam/s"),
            ("admin:hun ter2@cam", "***@cam"),
            ("front=rtsp://cam/s?password=hunter2", "front=rtsp://cam/s?password=***"),
            ("clip.mp4", "clip.mp4"),
        ] {
            assert_eq!(argument(raw), masked, "{raw}");
        }
    }

    #[test]
    fn a_slip_in_an_address_is_not_taken_for_a_file() {
        for slip in ["rtsp:/admin:pw@h/s", "admin:pw@h/s", "rtsp:admin:pw@h/s", "RTSP:/h/s", "rtsps:h"] {
            assert!(is_like_an_address(slip), "{slip}");
        }
        for place in ["rtsp://admin:pw@h/s", "clips/a.mp4", "rtsp-clip.mp4", "mail@home.mp4", "12:30.mp4"] {
            assert!(!is_like_an_address(place), "{place}");
        }
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(text("404 \x1b[31mNo\r"), "404 ?[31mNo?");
    }

    #[test]
    fn a_user_name_alone_is_no_password() {
        assert!(holds_password("rtsp://admin:secret@cam/s"));
        assert!(holds_password("rtsp://:secret@cam/s"));
        assert!(holds_password("rtsp://admin:hun'ter2@cam/s"));
        assert!(holds_password("rtsp://admin:hun ter2@cam/s"));
        assert!(holds_password("rtsp://cam/s?password=secret"));
        assert!(!holds_password("rtsp://admin@cam/s"));
        assert!(!holds_password("rtsp://admin:@cam/s"));
        assert!(!holds_password("rtsp://cam:554/s"));
        assert!(!holds_password("clips/a.mp4"));
    }

    #[test]
    fn text_of_other_languages_passes_unharmed() {
        assert_eq!(text("Kamera „Tür“ = offen, ü=1, //größe:pw@cam"), "Kamera „Tür“ = offen, ü=1, //***@cam");
    }
}
