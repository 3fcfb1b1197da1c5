//! What a change of the layout must not do, one rule a kind of break, each with a name and with what it would break for whom.
//!
//! `old` is a golden or a released table, `new` what is to take its place: the same version again, or a later one. Each rule
//! has a pair of tables in `fixtures/`, which breaks it and no other, and a row in docs/testing.md, which
//! `cargo xtask layout rehearse` carries out on layout.rs itself.

use std::fmt;

use super::table::{Constant, Field, Kind, Table};

/// Stream fields are appended from here to the slot table...
const STREAM_CURSOR: u64 = 128;
/// ...which begins here for ever, with records of 64 bytes for ever,...
const RECORD: u64 = 256;
/// ...in each of which fields of a frame are appended from here...
const RECORD_CURSOR: u64 = 288;
/// ...to the end of the record.
const RECORD_END: u64 = 320;
/// Stream fields that do not fit before the slot table are appended from here, where version 1 ends.
const TAIL_CURSOR: u64 = 768;

macro_rules! rules {
    ($($rule:ident $name:literal $why:literal;)*) => {
        /// The rules, in the order in which several that break at the same place are named.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Rule { $(#[doc = $why] $rule,)* }

        impl Rule {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$rule),*];

            /// What a check that fails says.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }

            /// What would break for whom.
            pub(crate) const fn why(self) -> &'static str {
                match self { $(Self::$rule => $why,)* }
            }
        }
    };
}

rules! {
    ReleasedTableNoEdit "RELEASED_TABLE_NO_EDIT"
        "a released table is what readers were built from: edited, it no longer says what they do, and no later check would notice";
    ReleasedTextNoEdit "RELEASED_TEXT_NO_EDIT"
        "a released clause is what strangers built readers and writers from, and a released file what they were tested with: changed, they no longer mean the same protocol";
    VersionNoDecrease "VERSION_NO_DECREASE"
        "readers of the higher version would take fields for absent that are there, and the number would come to mean two layouts";
    VersionNoSkip "VERSION_NO_SKIP"
        "nobody can say which fields a version has that has no table: a reader that meets the number cannot look it up";
    ConstantNoDelete "CONSTANT_NO_DELETE"
        "readers built with the constant go on using it, and those built anew no longer compile";
    ConstantSameName "CONSTANT_SAME_NAME"
        "readers that include the generated constants no longer compile";
    ConstantSameValue "CONSTANT_SAME_VALUE"
        "readers carry the old value compiled in: they would look elsewhere, refuse good files or take one state for another";
    ConstantSameSince "CONSTANT_SAME_SINCE"
        "readers would use the value in files of a version that does not have it, or ignore it where it holds";
    ConstantSameMeaning "CONSTANT_SAME_MEANING"
        "old readers go on acting on the old meaning, and nobody tells them";
    ConstantNoCollision "CONSTANT_NO_COLLISION"
        "readers could not tell two states or two bits of flags from each other, or the generated files would define one name twice";
    FieldNoDelete "FIELD_NO_DELETE"
        "readers that know the field would take whatever comes to stand there for it";
    FieldNoReserve "FIELD_NO_RESERVE"
        "readers that know the field would take zeros for its value, and a later version would put something else there";
    FieldSameName "FIELD_SAME_NAME"
        "readers that use the generated structs and constants no longer compile, and refusals name a field that no document has";
    FieldSameSize "FIELD_SAME_SIZE"
        "readers would load half of the value, or a neighbour with it";
    FieldSameType "FIELD_SAME_TYPE"
        "readers would take the same bytes for another number";
    FieldSameKind "FIELD_SAME_KIND"
        "readers load an atomic word again and again and keep a constant from the day they opened: they would miss changes, or check what moves under them";
    FieldSameSince "FIELD_SAME_SINCE"
        "readers would use the field in files whose writers never filled it, or ignore it where it is";
    FieldSameMeaning "FIELD_SAME_MEANING"
        "old readers go on acting on the old meaning, and nobody tells them";
    ReservedNoReuse "RESERVED_NO_REUSE"
        "files of the version that the field claims hold zeros there, and readers would take them for values; bytes that the cursor has passed are nobody's";
    FieldTypeFits "FIELD_TYPE_FITS"
        "readers in other languages are generated from the type's name: theirs would have another size than ours, or tear";
    FieldAligned "FIELD_ALIGNED"
        "a word that is not aligned by its size is loaded in two pieces: readers would see halves of two values";
    AppendAtCursor "APPEND_AT_CURSOR"
        "fields go to the next free byte (CHANGE-2), so that no two branches and no later version give the same bytes to two fields of one reader";
    FieldSameOffset "FIELD_SAME_OFFSET"
        "readers load from where the field stood and would take its neighbour for it";
    FieldNoOverlap "FIELD_NO_OVERLAP"
        "a writer that stores one field would change what readers find in the other";
    FieldNoGap "FIELD_NO_GAP"
        "bytes without a row are written by nobody's rule: readers cannot rely on their being zero, and no later version could use them";
    RecordSameSize "RECORD_SAME_SIZE"
        "readers multiply by 64 to find a slot's record: all records but the first would be somewhere else";
    HeaderNoShrink "HEADER_NO_SHRINK"
        "readers map and check as many bytes as the version that they know has, and refuse a header that is smaller";
    HeaderEndsAtLastField "HEADER_ENDS_AT_LAST_FIELD"
        "header_size says how far the fields reach (CHANGE-5): readers would look for fields in bytes that have none, or not look where they are";
    VersionRaisedWithAppend "VERSION_RAISED_WITH_APPEND"
        "readers tell by the version whether a field is there: with the old number they would never look, or take zeros of older writers for values";
    VersionNeedsAppend "VERSION_NEEDS_APPEND"
        "a version that appends nothing tells readers of a difference that is not there";
    TableSameText "TABLE_SAME_TEXT"
        "the table is what strangers and generated files are made from: a difference that no other rule names is one that nobody has judged";
}

/// One breach of a rule.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) rule: Rule,
    /// What was found, with both sides.
    pub(crate) what: String,
    /// The cause stands before what follows from it: versions, constants, fields by offset, sizes, and what is missing.
    order: (u8, u64),
}

impl Finding {
    /// A clause or a file that is not what a tag released.
    pub(crate) fn released_text(what: String) -> Self {
        Self { rule: Rule::ReleasedTextNoEdit, what, order: (OF_VERSION, 1) }
    }

    /// A table that says what it should and is written in another way.
    pub(crate) fn other_text(name: &str) -> Self {
        let what = format!("{name} is not written as `cargo xtask layout bless` writes it");
        Self { rule: Rule::TableSameText, what, order: (OF_APPEND, 1) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.name(), self.what)
    }
}

/// Constants of one family, by the beginning of their names, are different values...
const VALUES: &[&str] = &["STATE_", "COLOR_RANGE_"];
/// ...or one bit each, and no two the same.
const BITS: &[&str] = &["FLAG_", "FRAME_FLAG_"];
/// Names that the generated files give to something else begin like this...
const TAKEN_BEGINNINGS: &[&str] = &["OFFSET_", "SLOT_OFFSET_", "SIZEOF_"];
/// ...or are these.
const TAKEN: &[&str] =
    &["VERSION", "LAYOUT_SHA256", "LAYOUT_H", "STATIC_ASSERT", "H", "FIELDS", "SLOT_FIELDS"];

const OF_VERSION: u8 = 0;
const OF_CONSTANT: u8 = 1;
const OF_FIELD: u8 = 2;
const OF_SIZE: u8 = 3;
const OF_APPEND: u8 = 4;

/// How a new table follows an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The same version, or the very next.
    Next,
    /// The same version or any later one: tables between them are compared with each other.
    Any,
}

/// Every breach of a rule, the cause first.
pub(crate) fn compare(old: &Table, new: &Table, step: Step) -> Vec<Finding> {
    let mut check = Check { old, new, found: Vec::new() };
    check.version(step);
    let constants = check.constants();
    let fields = check.fields();
    check.is_well_formed();
    check.sizes();
    check.raised(constants, &fields);
    check.nothing_else();
    let mut found = check.found;
    found.sort_by_key(|finding| (finding.order, finding.rule));
    found
}

/// A released table against the file of that name in the work tree, which is not there if it has no text.
pub(crate) fn released_is_kept(name: &str, tag: &str, released: &str, now: Option<&str>) -> Option<Finding> {
    let what = match now {
        None => format!("{name}, which {tag} released, is not there any more"),
        Some(now) if now == released => return None,
        Some(now) => {
            let line = released.lines().zip(now.lines()).position(|(released, now)| released != now);
            let line = line.unwrap_or_else(|| released.lines().count().min(now.lines().count()));
            format!("line {} of {name} is not what {tag} released", line + 1)
        }
    };
    Some(Finding { rule: Rule::ReleasedTableNoEdit, what, order: (OF_VERSION, 0) })
}

struct Check<'a> {
    old: &'a Table,
    new: &'a Table,
    found: Vec<Finding>,
}

impl<'a> Check<'a> {
    fn add(&mut self, rule: Rule, group: u8, place: u64, what: String) {
        self.found.push(Finding { rule, what, order: (group, place) });
    }

    fn field(&mut self, rule: Rule, field: &Field, what: String) {
        self.add(rule, OF_FIELD, field.offset, what);
    }

    fn version(&mut self, step: Step) {
        let (old, new) = (self.old.version, self.new.version);
        if new < old {
            self.add(Rule::VersionNoDecrease, OF_VERSION, 0, format!("VERSION is {new} and was {old}"));
        }
        if step == Step::Next && new > old.saturating_add(1) {
            self.add(
                Rule::VersionNoSkip,
                OF_VERSION,
                0,
                format!("VERSION is {new}, and the version before it that has a table is {old}"),
            );
        }
    }

    /// Compares the constants; gives those that were appended.
    fn constants(&mut self) -> Vec<&'a Constant> {
        let (old, new) = (&self.old.constants, &self.new.constants);
        let of_name = |all: &'a [Constant], name: &str| all.iter().find(|constant| constant.name == name);
        let mut appended: Vec<_> =
            new.iter().filter(|constant| of_name(old, &constant.name).is_none()).collect();
        for (place, before) in old.iter().enumerate() {
            let name = &before.name;
            let place = place as u64;
            let Some(now) = of_name(new, name) else {
                let renamed = appended
                    .iter()
                    .position(|new| new.value == before.value && new.meaning == before.meaning);
                if let Some(renamed) = renamed {
                    let now = appended.remove(renamed);
                    let what = format!("{name} is now called {}", now.name);
                    self.add(Rule::ConstantSameName, OF_CONSTANT, place, what);
                } else {
                    let what = format!("{name}, in version {} and before, is gone", self.old.version);
                    self.add(Rule::ConstantNoDelete, OF_CONSTANT, place, what);
                }
                continue;
            };
            if now.value != before.value {
                let what = format!("{name} is {} and was {}", now.value, before.value);
                self.add(Rule::ConstantSameValue, OF_CONSTANT, place, what);
            }
            if now.since != before.since {
                let what = format!(
                    "{name} is said to be there since version {} and was since {}",
                    now.since, before.since
                );
                self.add(Rule::ConstantSameSince, OF_CONSTANT, place, what);
            }
            if now.meaning != before.meaning {
                let what = format!("{name} means \"{}\" and meant \"{}\"", now.meaning, before.meaning);
                self.add(Rule::ConstantSameMeaning, OF_CONSTANT, place, what);
            }
        }
        appended
    }

    /// Compares the fields; gives those that were appended for a version of their own.
    fn fields(&mut self) -> Vec<&'a Field> {
        let (old, new) = (self.old, self.new);
        let was: Vec<_> = old.fields.iter().filter(|field| !field.is_reserved()).collect();
        let mut unknown: Vec<_> = new
            .fields
            .iter()
            .filter(|field| !field.is_reserved() && was.iter().all(|old| old.name != field.name))
            .collect();
        let mut moved = Vec::new();
        for &before in &was {
            let same_place = |field: &&Field| field.offset == before.offset && field.size == before.size;
            let now = new.fields.iter().find(|field| field.name == before.name);
            let reserved = now.or_else(|| new.fields.iter().find(same_place)).filter(|now| now.is_reserved());
            if let Some(now) = reserved {
                let what = format!(
                    "{} was a field at {} and is reserved as {}",
                    before.name, before.offset, now.name
                );
                self.field(Rule::FieldNoReserve, before, what);
                continue;
            }
            // A new name for what means the same, or for what stands in the same bytes, is no deletion.
            let renamed = || {
                let same = |field: &&Field| field.ty == before.ty && field.meaning == before.meaning;
                unknown.iter().position(same).or_else(|| unknown.iter().position(same_place))
            };
            let now = match now {
                Some(now) => now,
                None => match renamed().map(|place| unknown.remove(place)) {
                    Some(now) => {
                        self.field(
                            Rule::FieldSameName,
                            before,
                            format!("{} is now called {}", before.name, now.name),
                        );
                        now
                    }
                    None => {
                        let what = format!(
                            "{}, at {} in version {}, is gone",
                            before.name, before.offset, old.version
                        );
                        self.field(Rule::FieldNoDelete, before, what);
                        continue;
                    }
                },
            };
            self.same(before, now);
            if now.offset != before.offset {
                moved.push((before, now));
            }
        }
        self.moved(&moved);
        for before in old.fields.iter().filter(|field| field.is_reserved()) {
            let now = new.fields.iter().find(|field| field.name == before.name && field.is_reserved());
            if let Some(now) = now {
                self.same_words(before, now);
            }
        }
        self.appended(&unknown)
    }

    fn same(&mut self, before: &Field, now: &Field) {
        let name = &now.name;
        if now.size != before.size {
            let what = format!("{name} has {} bytes and had {}", now.size, before.size);
            self.field(Rule::FieldSameSize, before, what);
        }
        let are_bytes = now.ty.ends_with("bytes") && before.ty.ends_with("bytes");
        // More bytes or fewer are a matter of size.
        if now.ty != before.ty && !(are_bytes && now.size != before.size) {
            self.field(Rule::FieldSameType, before, format!("{name} is {} and was {}", now.ty, before.ty));
        }
        if now.kind != before.kind {
            self.field(
                Rule::FieldSameKind,
                before,
                format!("{name} is {} and was {}", now.kind, before.kind),
            );
        }
        self.same_words(before, now);
    }

    fn same_words(&mut self, before: &Field, now: &Field) {
        let name = &now.name;
        if now.since != before.since {
            let what = format!(
                "{name} is said to be there since version {} and was since {}",
                now.since, before.since
            );
            self.field(Rule::FieldSameSince, before, what);
        }
        if now.meaning != before.meaning {
            let what = format!("{name} means \"{}\" and meant \"{}\"", now.meaning, before.meaning);
            self.field(Rule::FieldSameMeaning, before, what);
        }
    }

    /// Fields that moved together by the same distance are one finding.
    fn moved(&mut self, moved: &[(&Field, &Field)]) {
        let distance = |(before, now): &(&Field, &Field)| now.offset.wrapping_sub(before.offset);
        for together in moved.chunk_by(|one, other| distance(one) == distance(other)) {
            let Some((before, now)) = together.first() else { continue };
            let further = match together.len() - 1 {
                0 => String::new(),
                1 => ", and the field behind it with it".to_owned(),
                more => format!(", and {more} fields behind it with it"),
            };
            let what =
                format!("{} stands at {} and stood at {}{further}", now.name, now.offset, before.offset);
            // At the earlier of the two places, so that what pushed them is named before them.
            self.add(Rule::FieldSameOffset, OF_FIELD, before.offset, what);
        }
    }

    /// Fields that the old table does not have: each at the next free byte, and since a version that is new.
    fn appended(&mut self, fields: &[&'a Field]) -> Vec<&'a Field> {
        let old = self.old;
        let mut cursors = Cursors::of(old);
        let mut fields = fields.to_vec();
        fields.sort_by_key(|field| field.offset);
        let mut appended = Vec::new();
        for field in fields {
            let Field { name, offset, since, .. } = field;
            let contains = |old: &Field| old.offset <= *offset && field.end() <= old.end();
            let was_reserved = old.fields.iter().any(|old| old.is_reserved() && contains(old));
            let next = cursors.next(field);
            let used_until = cursors.advance(field);
            if *since <= old.version && (was_reserved || *offset >= TAIL_CURSOR) {
                let what = format!(
                    "{name} at {offset} is said to be there since version {since}, and version {} has nothing there",
                    old.version
                );
                self.field(Rule::ReservedNoReuse, field, what);
                continue;
            }
            match used_until {
                Some(end) if was_reserved && *offset < end => {
                    let what =
                        format!("{name} stands at {offset}, and the fields there reach to {end} already");
                    self.field(Rule::ReservedNoReuse, field, what);
                }
                // At the cursor and only not aligned: the rule about that says so.
                Some(end) if *offset == end && offset % alignment(field) != 0 => {}
                _ if *offset != next => {
                    let what = format!("{name} stands at {offset}, the next free byte for it is {next}");
                    self.field(Rule::AppendAtCursor, field, what);
                }
                _ => {}
            }
            appended.push(field);
        }
        appended
    }

    /// What holds for every table by itself.
    fn is_well_formed(&mut self) {
        self.constants_collide();
        for field in &self.new.fields {
            let fits = match (field.ty.as_str(), field.kind) {
                ("u8", Kind::Constant) => field.size == 1,
                ("u16", Kind::Constant) => field.size == 2,
                ("u32", Kind::Constant | Kind::Atomic) => field.size == 4,
                ("u64", Kind::Constant | Kind::Atomic) => field.size == 8,
                (other, Kind::Constant) => other == format!("{} bytes", field.size),
                (_, Kind::Atomic) => false,
                // What reserved bytes are called is in nobody's way.
                (_, Kind::Reserved) => true,
            };
            if !fits {
                let what = format!("{} is {} {} of {} bytes", field.name, field.kind, field.ty, field.size);
                self.field(Rule::FieldTypeFits, field, what);
            }
            if !field.is_reserved() && field.offset % alignment(field) != 0 {
                let what = format!(
                    "{} stands at {}, which is no multiple of {}",
                    field.name,
                    field.offset,
                    alignment(field)
                );
                self.field(Rule::FieldAligned, field, what);
            }
        }
        let record_end = RECORD + self.new.size("slot_record");
        let header_end = self.new.size("header");
        self.is_covered(0, RECORD, |field| !is_of_frame(field) && field.offset < TAIL_CURSOR);
        self.is_covered(RECORD, record_end, is_of_frame);
        self.is_covered(TAIL_CURSOR, header_end, |field| !is_of_frame(field) && field.offset >= TAIL_CURSOR);
    }

    /// Constants of the new table that cannot be told from each other, or from what the generated files have besides.
    fn constants_collide(&mut self) {
        let new = self.new;
        for (place, constant) in new.constants.iter().enumerate() {
            let Constant { name, value, .. } = constant;
            let family = |families: &[&str]| families.iter().any(|family| name.starts_with(family));
            let (values, bits) = (family(VALUES), family(BITS));
            let mut add = |what| self.add(Rule::ConstantNoCollision, OF_CONSTANT, place as u64, what);
            if TAKEN.contains(&name.as_str()) || TAKEN_BEGINNINGS.iter().any(|taken| name.starts_with(taken))
            {
                add(format!("{name} is a name that generated files give to something else"));
            }
            if bits && !constant.number().is_some_and(u64::is_power_of_two) {
                add(format!("{name} is {value}, which is not one bit"));
            }
            let same = new.constants[..place]
                .iter()
                .filter(|other| (values || bits) && family_of(&other.name) == family_of(name));
            for other in same {
                // A mask of several bits shares some without being equal.
                let collide = match (constant.number(), other.number()) {
                    (Some(one), Some(other)) if bits => one & other != 0,
                    _ => value == &other.value,
                };
                if collide {
                    add(format!("{name} is {value}, and {} is {} already", other.name, other.value));
                }
            }
        }
    }

    /// The rows that are meant, one behind the other, leave no byte out and share none.
    fn is_covered(&mut self, from: u64, to: u64, is_meant: impl Fn(&Field) -> bool) {
        let mut rows: Vec<_> = self.new.fields.iter().filter(|field| is_meant(field)).collect();
        if rows.is_empty() && from >= TAIL_CURSOR {
            return;
        }
        rows.sort_by_key(|field| field.offset);
        let mut end = from;
        for field in rows {
            if field.offset > end {
                let what =
                    format!("no row for the bytes {end} to {} before {}", field.offset - 1, field.name);
                self.add(Rule::FieldNoGap, OF_FIELD, end, what);
            }
            if field.offset < end {
                let what =
                    format!("{} begins at {}, what stands before it ends at {end}", field.name, field.offset);
                self.field(Rule::FieldNoOverlap, field, what);
            }
            end = end.max(field.end());
        }
        if end < to {
            self.add(Rule::FieldNoGap, OF_FIELD, end, format!("no row for the bytes {end} to {}", to - 1));
        }
        // What reaches past the header's end is told by the rule about that.
        if end > to && to == RECORD {
            let what = format!("the stream fields reach to {end}, the slot table begins at {to}");
            self.add(Rule::FieldNoOverlap, OF_FIELD, to, what);
        }
    }

    fn sizes(&mut self) {
        let of = |name: &str| (self.old.size(name), self.new.size(name));
        let (before, record) = of("slot_record");
        if record != before {
            let what = format!("a slot record has {record} bytes and had {before}");
            self.add(Rule::RecordSameSize, OF_SIZE, 0, what);
            return;
        }
        let (before, header) = of("header");
        let tail = self.new.fields.iter().filter(|field| !is_of_frame(field)).map(Field::end);
        let end = tail.fold(TAIL_CURSOR, u64::max);
        if header < before {
            let what = format!("the header has {header} bytes and had {before}");
            self.add(Rule::HeaderNoShrink, OF_SIZE, 1, what);
        } else if header != end {
            let what = format!("the header has {header} bytes, its last field ends at {end}");
            self.add(Rule::HeaderEndsAtLastField, OF_SIZE, 1, what);
        }
    }

    fn raised(&mut self, constants: Vec<&Constant>, fields: &[&Field]) {
        let (old, new) = (self.old.version, self.new.version);
        let constants = constants.into_iter().map(|constant| (&constant.name, constant.since));
        let fields = fields.iter().map(|field| (&field.name, field.since));
        let appended: Vec<_> = constants.chain(fields).collect();
        // A lower version has a finding of its own, which says more.
        let is_new = |since: u32| new < old || (old < since && since <= new);
        if let Some((name, since)) = appended.iter().find(|(_, since)| !is_new(*since)) {
            let what = match new > old {
                true => {
                    format!("{name} is appended and said to be there since version {since}, not since {new}")
                }
                false => format!("{name} is appended since version {since}, and VERSION is still {new}"),
            };
            self.add(Rule::VersionRaisedWithAppend, OF_APPEND, 0, what);
        }
        if appended.is_empty() && new > old {
            let what = format!("VERSION is {new} and was {old}, and nothing was appended");
            self.add(Rule::VersionNeedsAppend, OF_APPEND, 0, what);
        }
    }

    /// The net below the rules: what they let pass has to hold the old table whole.
    fn nothing_else(&mut self) {
        if !self.found.is_empty() {
            return;
        }
        let (old, new) = (self.old, self.new);
        if old.version == new.version {
            if old != new {
                self.other("the tables of one version differ");
            }
            return;
        }
        let kept_fields =
            new.fields.iter().filter(|field| !field.is_reserved() && field.since <= old.version);
        let kept_constants = new.constants.iter().filter(|constant| constant.since <= old.version);
        let same_fields = kept_fields.eq(old.fields.iter().filter(|field| !field.is_reserved()));
        if !same_fields || !kept_constants.eq(&old.constants) || old.sizes.len() != new.sizes.len() {
            self.other("what the old version has does not stand in the new table as it stood");
        }
    }

    fn other(&mut self, what: &str) {
        self.add(Rule::TableSameText, OF_APPEND, 1, what.to_owned());
    }
}

/// Where the fields end so far in the three places that fields are appended to.
struct Cursors {
    stream: u64,
    record: u64,
    tail: u64,
}

impl Cursors {
    fn of(table: &Table) -> Self {
        let mut cursors = Self { stream: STREAM_CURSOR, record: RECORD_CURSOR, tail: TAIL_CURSOR };
        for field in table.fields.iter().filter(|field| !field.is_reserved()) {
            cursors.advance(field);
        }
        cursors
    }

    /// The place that a field stands in, if it is one of the three.
    fn of_field(&mut self, field: &Field) -> Option<&mut u64> {
        match field.offset {
            STREAM_CURSOR..RECORD => Some(&mut self.stream),
            RECORD_CURSOR..RECORD_END => Some(&mut self.record),
            TAIL_CURSOR.. => Some(&mut self.tail),
            _ => None,
        }
    }

    /// Puts a field where it stands; gives where the fields of that place ended before it.
    fn advance(&mut self, field: &Field) -> Option<u64> {
        let cursor = self.of_field(field)?;
        let before = *cursor;
        *cursor = before.max(field.end());
        Some(before)
    }

    /// The byte that the next field of this type and size has to begin at.
    fn next(&self, field: &Field) -> u64 {
        let aligned = |cursor: u64| cursor.next_multiple_of(alignment(field));
        if is_of_frame(field) {
            return aligned(self.record);
        }
        let fits_before_slots = aligned(self.stream).saturating_add(field.size) <= RECORD;
        if fits_before_slots { aligned(self.stream) } else { aligned(self.tail) }
    }
}

/// The family that a constant belongs to by its name.
fn family_of(name: &str) -> Option<&'static str> {
    VALUES.iter().chain(BITS).copied().find(|family| name.starts_with(family))
}

fn is_of_frame(field: &Field) -> bool {
    field.name.starts_with("slot[i].")
}

/// Natural alignment of a field's type; bytes stand anywhere.
fn alignment(field: &Field) -> u64 {
    match field.ty.as_str() {
        "u16" => 2,
        "u32" => 4,
        "u64" => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::layout::text::clauses_are_kept;

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/layout/fixtures")
    }

    fn folders(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    }

    fn name(path: &Path) -> String {
        path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// What the rules say of the pair of tables in a folder.
    fn findings(folder: &Path) -> Vec<Finding> {
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let (old, new) = (text("old.txt"), text("new.txt"));
        if folder.ancestors().any(|folder| folder.ends_with("released_text_no_edit")) {
            return clauses_are_kept("protocol-v1", &old, &new, &BTreeSet::new());
        }
        let table = |text: &str| Table::parse(&folder.display().to_string(), text).unwrap();
        if name(folder) == "released_table_no_edit" {
            return released_is_kept("v1.txt", "protocol-v1", &old, Some(&new)).into_iter().collect();
        }
        compare(&table(&old), &table(&new), Step::Next)
    }

    #[test]
    fn every_rule_fires_on_its_pairs_and_no_other_rule_does() {
        for rule in Rule::ALL {
            let folder = fixtures().join(rule.name().to_lowercase());
            let mut pairs = folders(&folder);
            pairs.push(folder);
            for pair in pairs {
                let found = findings(&pair);
                assert!(!found.is_empty(), "{} breaks no rule", pair.display());
                assert!(found.iter().all(|finding| finding.rule == *rule), "{}: {found:#?}", pair.display());
            }
        }
    }

    #[test]
    fn every_pair_belongs_to_a_rule_or_is_legal() {
        let known: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name().to_lowercase()).collect();
        let found: BTreeSet<_> = folders(&fixtures()).iter().map(|path| name(path)).collect();
        assert_eq!(found.difference(&known).collect::<Vec<_>>(), ["legal"]);
        assert_eq!(known.len(), Rule::ALL.len(), "no two rules have one name");
    }

    #[test]
    fn what_is_legal_passes() {
        let pairs = folders(&fixtures().join("legal"));
        assert!(!pairs.is_empty());
        for pair in pairs {
            let found = findings(&pair);
            assert!(found.is_empty(), "{}: {found:#?}", pair.display());
        }
    }

    #[test]
    fn the_layout_as_it_is_follows_from_itself() {
        let table = Table::compiled();
        let found = compare(&table, &table, Step::Next);
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn the_cause_is_named_before_what_follows_from_it() {
        let old = Table::compiled();
        let mut new = old.clone();
        let deleted = new.fields.remove(3);
        for field in
            new.fields.iter_mut().filter(|field| field.offset > deleted.offset && field.offset < RECORD)
        {
            field.offset -= deleted.size;
        }
        let found: Vec<_> = compare(&old, &new, Step::Next).iter().map(|finding| finding.rule).collect();
        assert_eq!(found, [Rule::FieldNoDelete, Rule::FieldSameOffset, Rule::FieldNoGap]);
    }

    #[test]
    fn versions_between_a_release_and_now_need_not_be_released() {
        let mut old = Table::compiled();
        let mut new = old.clone();
        (old.version, new.version) = (1, 3);
        let more = Constant { name: "MORE".into(), value: "1".into(), since: 2, meaning: "more".into() };
        new.constants.push(more);
        assert!(compare(&old, &new, Step::Any).is_empty());
        assert_eq!(compare(&old, &new, Step::Next)[0].rule, Rule::VersionNoSkip);
    }
}
