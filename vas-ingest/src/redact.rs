//! Text that may hold a password, made fit for a log.
//!
//! Passwords of the configuration never get near a log: they live in a type without a text form. This is for words that
//! come from outside (FFmpeg's lines, a mistyped command line, a configuration that cannot be read).

use std::borrow::Cow;

/// What stands in the place of what was taken out.
const MASK: &str = "***";

/// Query parameters and path pieces that cameras take passwords in.
const SECRET_KEYS: [&str; 8] = ["password", "passwd", "pass", "pwd", "psw", "token", "secret", "auth"];

/// The same text without credentials of URLs (`scheme://user:password@`, `//user:password@`, percent-encoded or not) and
/// without the values of parameters such as `password=`; control characters, which could forge a line, become `?`.
#[must_use]
pub fn text(text: &str) -> String {
    let text = without_userinfo(text);
    let text = without_secret_values(&text);
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

/// Does the text hold a password that anybody who sees the text could read?
#[must_use]
pub fn holds_password(text: &str) -> bool {
    let userinfo_has_password = userinfo(text, 0).is_some_and(|found| {
        let inside = &text[found.clone()];
        inside.split_once(':').is_some_and(|(_, password)| !password.is_empty())
    });
    userinfo_has_password || secret_value(text, 0).is_some()
}

/// Where a URL in running text ends at the latest.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')
}

/// The credentials of the first URL from `from` on: between `//` and the last `@` of the word.
///
/// The last one, and not the last before the path: a password that somebody forgot to encode may hold `@` and `/`.
fn userinfo(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let mut at = from;
    loop {
        let start = at + text[at..].find("//")? + 2;
        let end = text[start..].find(ends_url).map_or(text.len(), |len| start + len);
        if let Some(len) = text[start..end].rfind('@') {
            return Some(start..start + len);
        }
        at = start;
    }
}

fn without_userinfo(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    while let Some(found) = userinfo(text, copied) {
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

/// The value behind the first secret key from `from` on.
fn secret_value(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
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

fn without_secret_values(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    while let Some(found) = secret_value(text, copied) {
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
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(text("404 \x1b[31mNo\r"), "404 ?[31mNo?");
    }

    #[test]
    fn a_user_name_alone_is_no_password() {
        assert!(holds_password("rtsp://admin:secret@cam/s"));
        assert!(holds_password("rtsp://:secret@cam/s"));
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
