//! The log's three forms: text for people, JSON for collectors, and text for systemd's journal, which has times of its own and
//! learns the level from a number before each line (sd-daemon(3)).

use serde_json::{Map, Value};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The variable that chooses one.
pub(crate) const FORMAT_VARIABLE: &str = "VAS_LOG_FORMAT";

/// What the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Journald,
}

impl Format {
    /// As the variable says; if it does not, as stderr is.
    pub(crate) fn choose() -> Result<Self, String> {
        match std::env::var(FORMAT_VARIABLE) {
            Ok(text) if !text.is_empty() => Self::parse(&text),
            Ok(_) | Err(std::env::VarError::NotPresent) => {
                Ok(if is_stderr_the_journal() { Self::Journald } else { Self::Text })
            }
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("{FORMAT_VARIABLE} is not UTF-8")),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "journald" => Ok(Self::Journald),
            other => Err(format!("{FORMAT_VARIABLE} is {other:?}: use text, json or journald")),
        }
    }

    /// A sentence for the operator that is no event of the log: why the server does not start.
    pub(crate) fn sentence(self, text: &str) -> String {
        let text = text.trim_end();
        match self {
            Self::Text => format!("{text}\n"),
            Self::Journald => for_journal(Level::ERROR, text),
            Self::Json => {
                let mut line = Map::new();
                begin(&mut line, Level::ERROR);
                line.insert("message".into(), text.into());
                json_line(line)
            }
        }
    }
}

/// Systemd says in a variable which file the journal's is.
fn is_stderr_the_journal() -> bool {
    let Some(journal) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let stderr = rustix::fs::fstat(std::io::stderr());
    stderr.is_ok_and(|stderr| journal.to_str() == Some(&format!("{}:{}", stderr.st_dev, stderr.st_ino)))
}

/// Each line with its level's number: the journal takes each for an entry of its own.
fn for_journal(level: Level, text: &str) -> String {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    text.trim_end().lines().map(|line| format!("<{priority}>{line}\n")).collect()
}

/// Text, as the journal wants it.
pub(crate) struct Journald;

impl<S, N> FormatEvent<S, N> for Journald
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        let plain = tracing_subscriber::fmt::format().without_time().with_level(false).with_target(false);
        plain.with_ansi(false).format_event(context, Writer::new(&mut text), event)?;
        writer.write_str(&for_journal(*event.metadata().level(), &text))
    }
}

/// One object a line: timestamp, level, camera (if it is about one), message, and what else there is.
pub(crate) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        begin(&mut line, *event.metadata().level());
        for span in context.event_scope().into_iter().flatten().filter(|span| span.name() == "camera") {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
            if let Some(id) = fields.strip_prefix("id=") {
                line.insert("camera".into(), id.into());
            }
        }
        event.record(&mut Fields(&mut line));
        writer.write_str(&json_line(line))
    }
}

fn begin(line: &mut Map<String, Value>, level: Level) {
    let mut time = String::new();
    // Writing to a String cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    line.insert("timestamp".into(), time.into());
    line.insert("level".into(), level.as_str().into());
}

fn json_line(line: Map<String, Value>) -> String {
    format!("{}\n", Value::Object(line))
}

/// An event's fields as they are.
struct Fields<'l>(&'l mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_is_none_is_refused() {
        assert_eq!(Format::parse("json"), Ok(Format::Json));
        assert_eq!(
            Format::parse("syslog"),
            Err("VAS_LOG_FORMAT is \"syslog\": use text, json or journald".to_owned())
        );
    }

    #[test]
    fn each_line_of_a_text_has_its_level_in_the_journal() {
        assert_eq!(for_journal(Level::WARN, "one\ntwo\n"), "<4>one\n<4>two\n");
        assert_eq!(for_journal(Level::TRACE, "one"), "<7>one\n");
    }
}
