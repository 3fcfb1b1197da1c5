//! The writer's events on their way to a C function: for one exporter, with nothing global.

use crate::ffi::Listener;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

/// Where the events of an exporter go.
#[derive(Debug)]
pub(crate) struct Log(Option<Dispatch>);

impl Log {
    pub(crate) fn new(listener: Option<Listener>, level: Level) -> Self {
        Self(listener.map(|listener| Dispatch::new(Events { listener, level })))
    }

    /// Does some work, whose events are heard. A thread that is started meanwhile takes this along.
    pub(crate) fn around<R>(&self, work: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(dispatch) => dispatcher::with_default(dispatch, work),
            None => work(),
        }
    }
}

/// The writer has events and no spans, so this is all of a subscriber that it needs.
struct Events {
    listener: Listener,
    level: Level,
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.listener.tell(*event.metadata().level(), line.message + &line.fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message, then the fields as ` name=value`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
