//! From text to TOML tables with places: the outermost layer, which no input may break.

use toml::Spanned;
use toml::de::DeTable;
use toml_parser::decoder::Encoding;
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, ParseError};

use super::limits;
use super::problem::{Problems, Refusal};
use super::source::{Source, Span};

/// Parses one file; reports what is wrong with its TOML and returns `None` if anything is.
pub(super) fn parse<'t>(
    index: usize,
    source: &'t Source,
    problems: &mut Problems,
) -> Option<Spanned<DeTable<'t>>> {
    if let Some(offset) = source.invalid() {
        let refusal = Refusal::new(
            "the file is not UTF-8 text",
            "the first byte that is not",
            "save it as UTF-8",
        );
        let at = Span {
            source: index,
            start: offset,
            end: offset + 1,
        };
        problems.add(at, refusal);
        return None;
    }
    let text = source.text();
    let span = |range: std::ops::Range<usize>| Span {
        source: index,
        start: range.start,
        end: range.end,
    };
    if let Err((range, refusal)) = check_grammar(text, "policy") {
        problems.add(span(range), refusal);
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(table);
    }
    for error in errors {
        let range = error.span().unwrap_or_default();
        let refusal = explain(error.message(), text.get(range.clone()).unwrap_or_default());
        problems.add(span(range), refusal);
    }
    None
}

fn explain(message: &str, marked: &str) -> Refusal {
    if message == "duplicate key" {
        return Refusal::new(
            format!("{} is there a second time", super::problem::shown(marked)),
            "defined before",
            "a table and a key may stand only once: join the two, or rename one",
        );
    }
    Refusal::new(
        format!("this is not TOML: {message}"),
        "",
        "text stands in quotes, lists in [ ], and each key on a line of its own: \
         key = \"value\"; see https://toml.io",
    )
}

/// The grammar alone, before any value is built: only the first error of a file, since one error of
/// grammar makes many; and no deeper nesting than any policy needs, since the tables that the next
/// step builds are dropped by recursion. `what` the text is, messages say.
pub(crate) fn check_grammar(
    text: &str,
    what: &str,
) -> Result<(), (std::ops::Range<usize>, Refusal)> {
    let tokens = toml_parser::Source::new(text).lex().into_vec();
    let mut first = FirstError(None);
    let mut nesting = Nesting::default();
    parse_document(&tokens, &mut nesting, &mut first);
    if let Some(start) = nesting.too_deep {
        let refusal = Refusal::new(
            "tables and lists are nested too deeply",
            "",
            format!(
                "no key of a {what} lies deeper than {} tables; \
                 put a name that has dots in quotes",
                limits::NESTING
            ),
        );
        return Err((start..start + 1, refusal));
    }
    match first.0 {
        None => Ok(()),
        Some(error) => {
            let range = error
                .unexpected()
                .map_or(0..0, |span| span.start()..span.end());
            let expected = error
                .expected()
                .into_iter()
                .flatten()
                .map(|expected| match expected {
                    toml_parser::Expected::Literal("\n") => "the end of the line".to_owned(),
                    toml_parser::Expected::Literal(text) => format!("`{text}`"),
                    toml_parser::Expected::Description(text) => (*text).to_owned(),
                    _ => "something else".to_owned(),
                })
                .collect::<Vec<_>>()
                .join(" or ");
            let mut message = error.description().to_owned();
            if !expected.is_empty() {
                message = format!("{message}, expected {expected}");
            }
            Err((range, explain(&message, "")))
        }
    }
}

struct FirstError(Option<ParseError>);

impl ErrorSink for FirstError {
    fn report_error(&mut self, error: ParseError) {
        self.0.get_or_insert(error);
    }
}

/// How deep the tables would be that a text describes: `[a.b]` with `c.d = {e = 1}` in it is five deep.
#[derive(Default)]
struct Nesting {
    header: usize,
    in_header: bool,
    /// For each open list and inline table: how many keys led to it.
    open: Vec<usize>,
    open_keys: usize,
    /// Keys of the current `a.b.c =`.
    keys: usize,
    too_deep: Option<usize>,
}

impl Nesting {
    fn check(&mut self, at: usize) {
        if self.header + self.open_keys + self.open.len() + self.keys > limits::NESTING {
            self.too_deep.get_or_insert(at);
        }
    }

    fn open_header(&mut self) {
        *self = Self {
            in_header: true,
            too_deep: self.too_deep,
            ..Self::default()
        };
    }

    /// Whether the parser may go into it: it recurses, too.
    fn open_value(&mut self, at: usize) -> bool {
        self.open.push(self.keys);
        self.open_keys += self.keys;
        self.keys = 0;
        self.check(at);
        self.too_deep.is_none()
    }

    fn close_value(&mut self) {
        self.keys = self.open.pop().unwrap_or(0);
        self.open_keys = self.open_keys.saturating_sub(self.keys);
    }
}

impl EventReceiver for Nesting {
    fn std_table_open(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn std_table_close(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.in_header = false;
    }

    fn array_table_open(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn array_table_close(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.in_header = false;
    }

    fn inline_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        self.open_value(span.start())
    }

    fn inline_table_close(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.close_value();
    }

    fn array_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        self.open_value(span.start())
    }

    fn array_close(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.close_value();
    }

    fn simple_key(&mut self, span: toml_parser::Span, _: Option<Encoding>, _: &mut dyn ErrorSink) {
        if self.in_header {
            self.header += 1;
        } else {
            self.keys += 1;
        }
        self.check(span.start());
    }

    fn value_sep(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.keys = 0;
    }

    fn newline(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        // Within a list a line's end separates nothing, but there are no keys to forget either.
        self.keys = 0;
    }
}
