//! Collects what is wrong while a policy is read, so that everything is reported at once.

use std::fmt;
use std::path::PathBuf;

use super::diagnostic::{Diagnostic, Place, Position, Related, Report};
use super::limits;
use super::source::{Sources, Span, column};

/// Why a piece of text is refused, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What is wrong with just the marked part; may be empty.
    pub label: String,
    /// What to write instead.
    pub help: String,
}

impl Refusal {
    /// From its three texts.
    pub(super) fn new(
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            message: message.into(),
            label: label.into(),
            help: help.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl std::error::Error for Refusal {}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct FileError {
    /// As it was named.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

#[derive(Debug)]
struct Problem {
    /// `Err`: a file as a whole.
    at: Result<Span, PathBuf>,
    refusal: Refusal,
    related: Vec<(Span, String)>,
}

/// All that is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// Something is wrong at a place.
    pub fn add(&mut self, span: Span, refusal: Refusal) {
        self.push(Ok(span), refusal, Vec::new());
    }

    /// Something is wrong at a place, and another place belongs to it.
    pub fn add_related(&mut self, span: Span, refusal: Refusal, other: Span, label: &str) {
        self.push(Ok(span), refusal, vec![(other, label.to_owned())]);
    }

    /// A file could not be read.
    pub fn add_file(&mut self, error: FileError) {
        let refusal = Refusal::new(error.message, "", error.help);
        self.push(Err(error.path), refusal, Vec::new());
    }

    /// Keeps a value, or reports why there is none.
    pub fn take<T>(&mut self, span: Span, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|refusal| self.add(span, refusal)).ok()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How much is wrong.
    pub fn count(&self) -> usize {
        self.list.len() + self.omitted
    }

    fn push(&mut self, at: Result<Span, PathBuf>, refusal: Refusal, related: Vec<(Span, String)>) {
        if self.list.len() < limits::DIAGNOSTICS {
            self.list.push(Problem {
                at,
                refusal,
                related,
            });
        } else {
            self.omitted += 1;
        }
    }

    /// With the lines that they speak of.
    pub fn into_report(mut self, sources: &Sources, files: Vec<PathBuf>) -> Report {
        self.list
            .sort_by_key(|problem| problem.at.as_ref().ok().copied());
        let diagnostics = self
            .list
            .into_iter()
            .map(|problem| Diagnostic {
                place: match &problem.at {
                    Ok(span) => place(sources, *span),
                    Err(path) => Place::file(path),
                },
                message: problem.refusal.message,
                label: problem.refusal.label,
                help: problem.refusal.help,
                related: problem
                    .related
                    .into_iter()
                    .map(|(span, label)| Related {
                        place: place(sources, span),
                        label,
                    })
                    .collect(),
            })
            .collect();
        Report {
            diagnostics,
            omitted: self.omitted,
            files,
        }
    }
}

/// Of a line longer than this only the part around the marker is kept.
const LINE_BYTES: usize = 16 << 10;

fn place(sources: &Sources, span: Span) -> Place {
    let source = sources.get(span.source);
    let (line, bytes) = source.line(span.start);
    let text = &source.text()[bytes.clone()];
    let inside = |at: usize| floor(text, at.clamp(bytes.start, bytes.end) - bytes.start);
    let (start, end) = (inside(span.start), inside(span.end));
    let shown = if text.len() <= LINE_BYTES {
        0..text.len()
    } else {
        floor(text, start.saturating_sub(LINE_BYTES / 3))..floor(text, start + LINE_BYTES * 2 / 3)
    };
    let (marked_start, marked_end) = (start.max(shown.start), end.clamp(start, shown.end));
    Place {
        file: source.path().display().to_string(),
        position: Some(Position {
            line,
            column: column(source, &bytes, span.start),
            width: text[start..end.max(start)].chars().count().max(1),
            cut: shown.len() < text.len(),
            marked: (marked_start - shown.start, marked_end - shown.start),
            source: text[shown].to_owned(),
        }),
    }
}

/// The last border between characters up to `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

/// A piece of a person's text for a message: short, on one line, between backticks.
pub(super) fn shown(text: &str) -> String {
    const CHARACTERS: usize = 64;
    let mut out = String::from("`");
    for character in text.chars().take(CHARACTERS) {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    if text.chars().nth(CHARACTERS).is_some() {
        out.push_str("...");
    }
    out.push('`');
    out
}

/// The one of `candidates` that was probably meant.
pub(super) fn closest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if text.len() > limits::NAME_CHARACTERS {
        return None;
    }
    let furthest = (text.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(text.len()) <= furthest)
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", else what else helps.
pub(super) fn did_you_mean<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    closest(text, candidates).map_or_else(otherwise, |meant| format!("did you mean `{meant}`?"))
}
