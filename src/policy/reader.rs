//! Reads TOML tables key by key. A reader goes on past errors, so that all of them are reported, and
//! knows which keys it was asked for, so that all others are.

use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::limits;
use super::problem::{Problems, Refusal, closest, did_you_mean, shown};
use super::source::{Span, Spanned};

/// A string or a whole number: what an entry of `ports`, `icmp` or `protocols` may be.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// In quotes.
    Text(String),
    /// Without quotes.
    Number(String),
}

/// A list as it was written.
pub(super) type List<T> = Spanned<Vec<Spanned<T>>>;

/// One table that is being read.
pub(super) struct Reader<'p, 'r, 't> {
    table: &'r DeTable<'t>,
    title: String,
    span: Span,
    known: Vec<&'static str>,
    problems: &'p mut Problems,
}

impl<'p, 'r, 't> Reader<'p, 'r, 't> {
    /// `title` is what messages call the table, `span` where it begins.
    pub fn new(
        table: &'r DeTable<'t>,
        title: impl Into<String>,
        span: Span,
        problems: &'p mut Problems,
    ) -> Self {
        Self {
            table,
            title: title.into(),
            span,
            known: Vec::new(),
            problems,
        }
    }

    fn within(&self, range: std::ops::Range<usize>) -> Span {
        Span {
            source: self.span.source,
            start: range.start,
            end: range.end,
        }
    }

    fn value(&mut self, key: &'static str) -> Option<(&'r DeValue<'t>, Span)> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some((value.get_ref(), self.within(value.span())))
    }

    /// Whether a key is there, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports a key that is not there.
    pub fn require(&mut self, key: &'static str, help: &str) {
        if !self.has(key) {
            let message = format!("{} has no `{key}`", self.title);
            let refusal = Refusal::new(message, format!("needs `{key}`"), help);
            self.problems.add(self.span, refusal);
        }
    }

    /// Reports something about this table.
    pub fn refuse(&mut self, span: Span, refusal: Refusal) {
        self.problems.add(span, refusal);
    }

    /// A string.
    pub fn text(&mut self, key: &'static str, example: &str) -> Option<Spanned<String>> {
        let (value, span) = self.value(key)?;
        match value {
            DeValue::String(text) => Some(Spanned {
                value: text.clone().into_owned(),
                span,
            }),
            other => {
                let help = format!("write {key} = \"{example}\"");
                self.wrong_type(key, other, span, "a string", help)
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<Spanned<bool>> {
        let (value, span) = self.value(key)?;
        match value {
            DeValue::Boolean(value) => Some(Spanned {
                value: *value,
                span,
            }),
            other => {
                let help = format!("write {key} = true or {key} = false, without quotes");
                self.wrong_type(key, other, span, "true or false", help)
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let (value, span) = self.value(key)?;
        let words = either(choices.iter().map(|(word, _)| *word));
        let help = format!("write {key} = {words}");
        let DeValue::String(text) = value else {
            return self.wrong_type(key, value, span, &words, help);
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| word == text) {
            return Some(Spanned {
                value: *value,
                span,
            });
        }
        let help = match closest(text, choices.iter().map(|(word, _)| *word)) {
            Some(meant) => format!("did you mean \"{meant}\"? {help}"),
            None => help,
        };
        let message = format!("`{key}` cannot be {}", shown(text));
        let label = format!("not {words}");
        self.problems.add(span, Refusal::new(message, label, help));
        None
    }

    /// A string or a whole number.
    pub fn item(&mut self, key: &'static str, example: &str) -> Option<Spanned<Item>> {
        let (value, span) = self.value(key)?;
        self.read_item(key, value, span, example)
    }

    fn read_item(
        &mut self,
        key: &str,
        value: &DeValue<'_>,
        span: Span,
        example: &str,
    ) -> Option<Spanned<Item>> {
        let value = match value {
            DeValue::String(text) => Item::Text(text.clone().into_owned()),
            DeValue::Integer(number) => Item::Number(number.to_string()),
            other => {
                let help = format!("write \"{example}\"");
                return self.wrong_type(key, other, span, "a string", help);
            }
        };
        Some(Spanned { value, span })
    }

    /// A list, or a single entry in its place, without the entries that are of the wrong type.
    pub fn items(&mut self, key: &'static str, example: &str) -> Option<List<Item>> {
        let (value, span) = self.value(key)?;
        let DeValue::Array(array) = value else {
            let item = self.read_item(key, value, span, example)?;
            return Some(Spanned {
                value: vec![item],
                span,
            });
        };
        self.check_length(key, array, span, example)?;
        let mut items = Vec::with_capacity(array.len());
        for entry in array {
            let at = self.within(entry.span());
            items.extend(self.read_item(key, entry.get_ref(), at, example));
        }
        Some(Spanned { value: items, span })
    }

    /// A list of strings, or a single one in its place, without what is no string.
    pub fn texts(&mut self, key: &'static str, example: &str) -> Option<List<String>> {
        let list = self.items(key, example)?;
        let mut texts = Vec::with_capacity(list.value.len());
        for Spanned { value, span } in list.value {
            match value {
                Item::Text(value) => texts.push(Spanned { value, span }),
                Item::Number(number) => {
                    let message = format!("`{key}` takes strings, not the number {number}");
                    let help = format!("put it in quotes: \"{number}\"");
                    self.problems
                        .add(span, Refusal::new(message, "not a string", help));
                }
            }
        }
        Some(Spanned {
            value: texts,
            span: list.span,
        })
    }

    fn check_length(
        &mut self,
        key: &str,
        array: &DeArray<'_>,
        span: Span,
        example: &str,
    ) -> Option<()> {
        if array.is_empty() {
            let refusal = Refusal::new(
                format!("`{key}` is an empty list"),
                "nothing in it",
                format!("write at least one entry, such as \"{example}\""),
            );
            self.problems.add(span, refusal);
            return None;
        }
        if array.len() > limits::LIST_ENTRIES {
            let refusal = Refusal::new(
                format!("`{key}` has {} entries", array.len()),
                format!("more than {}", limits::LIST_ENTRIES),
                "put addresses into a network with a `file`, and all else into several rules",
            );
            self.problems.add(span, refusal);
            return None;
        }
        Some(())
    }

    /// A table within this one: `[title.key]`.
    pub fn table(&mut self, key: &'static str, example: &str) -> Option<(&'r DeTable<'t>, Span)> {
        let (value, span) = self.value(key)?;
        match value {
            DeValue::Table(table) => Some((table, span)),
            other => self.wrong_type(key, other, span, "a table", format!("write {example}")),
        }
    }

    /// A list of tables within this one, such as `[[key]]`; `help` says how to write it.
    pub fn tables(&mut self, key: &'static str, help: &str) -> Vec<(&'r DeTable<'t>, Span)> {
        let Some((value, span)) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value else {
            let _: Option<()> =
                self.wrong_type(key, value, span, "a list of tables", help.to_owned());
            return Vec::new();
        };
        if array.is_empty() {
            let message = format!("`{key}` is an empty list");
            let help = format!("{help}, or leave the key out");
            self.problems
                .add(span, Refusal::new(message, "nothing in it", help));
        }
        let mut tables = Vec::with_capacity(array.len());
        for entry in array {
            let at = self.within(entry.span());
            match entry.get_ref() {
                DeValue::Table(table) => tables.push((table, at)),
                other => {
                    let _: Option<()> = self.wrong_type(key, other, at, "a table", help.to_owned());
                }
            }
        }
        tables
    }

    /// Reports all keys that nobody asked for.
    pub fn finish(self) {
        for (key, value) in self.table {
            let key_text: &DeString<'_> = key.get_ref();
            if self.known.iter().any(|known| known == key_text) {
                continue;
            }
            let known = self.known.iter().copied();
            let help = did_you_mean(key_text, known, || {
                let keys = self.known.join("`, `");
                match value.get_ref() {
                    DeValue::Table(_) => {
                        format!("a name with dots stands in quotes; the keys here are `{keys}`")
                    }
                    _ => format!("the keys here are `{keys}`"),
                }
            });
            let message = format!("unknown key {} in {}", shown(key_text), self.title);
            let label = "no such key";
            let span = self.within(key.span());
            self.problems.add(span, Refusal::new(message, label, help));
        }
    }

    fn wrong_type<T>(
        &mut self,
        key: &str,
        value: &DeValue<'_>,
        span: Span,
        expected: &str,
        help: String,
    ) -> Option<T> {
        let is = type_name(value);
        let message = format!("`{key}` must be {expected}, and is {is}");
        self.problems.add(span, Refusal::new(message, is, help));
        None
    }
}

/// Everything in a table, whatever its keys are, in the order of the text.
pub(super) fn entries<'r, 't>(
    table: &'r DeTable<'t>,
    source: usize,
) -> Vec<(Spanned<String>, &'r DeValue<'t>, Span)> {
    let at = |range: std::ops::Range<usize>| Span {
        source,
        start: range.start,
        end: range.end,
    };
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let name = Spanned {
                value: key.get_ref().clone().into_owned(),
                span: at(key.span()),
            };
            (name, value.get_ref(), at(value.span()))
        })
        .collect();
    entries.sort_by_key(|(name, ..)| name.span);
    entries
}

/// `"a", "b" or "c"`.
fn either<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut words: Vec<_> = words.map(|word| format!("\"{word}\"")).collect();
    let last = words.pop().unwrap_or_default();
    if words.is_empty() {
        return last;
    }
    format!("{} or {last}", words.join(", "))
}

/// What a value is, for people.
pub(super) const fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
