//! The text that a policy is read from, and places in it.

use std::cell::OnceCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::Location;

/// One file's text, under the name it was read by.
#[derive(Debug, Clone)]
pub struct Source {
    path: Arc<PathBuf>,
    text: Arc<str>,
    invalid: Option<usize>,
    lines: OnceCell<Vec<usize>>,
}

impl Source {
    /// A file's text.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Self {
            path: Arc::new(path.into()),
            text: text.into(),
            invalid: None,
            lines: OnceCell::new(),
        }
    }

    /// A file's bytes. That they are not UTF-8 is reported where the first wrong byte stands.
    #[must_use]
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::new(path, text),
            Err(error) => Self {
                // The lossy text is the same up to the first wrong byte.
                invalid: Some(error.utf8_error().valid_up_to()),
                ..Self::new(path, String::from_utf8_lossy(error.as_bytes()))
            },
        }
    }

    /// The name it was read by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same, for whoever keeps it: a file of a million lines is in memory once.
    pub(super) const fn shared(&self) -> &Arc<str> {
        &self.text
    }

    /// The first byte that is not UTF-8.
    pub(super) const fn invalid(&self) -> Option<usize> {
        self.invalid
    }

    /// The line's number, from 1, and its bytes without the line's end.
    pub(super) fn line(&self, offset: usize) -> (usize, Range<usize>) {
        let starts = self.lines.get_or_init(|| {
            std::iter::once(0)
                .chain(self.text.match_indices('\n').map(|(at, _)| at + 1))
                .collect()
        });
        let after = starts.partition_point(|&start| start <= offset);
        let start = starts[after.saturating_sub(1)];
        let rest = &self.text[start..];
        let line = rest.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        (after.max(1), start..start + line.len())
    }
}

/// Part of the text of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// Index into [`Sources`].
    pub source: usize,
    /// First byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
}

/// A value, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// All that was read, in order.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

impl Sources {
    /// Takes one more; returns its index.
    pub fn add(&mut self, source: Source) -> usize {
        self.0.push(source);
        self.0.len() - 1
    }

    /// By index.
    pub fn get(&self, index: usize) -> &Source {
        &self.0[index]
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// Where a span begins, for the high form.
    pub fn location(&self, span: Span) -> Location {
        let source = self.get(span.source);
        let (line, bytes) = source.line(span.start);
        Location {
            file: Arc::clone(&source.path),
            line,
            column: column(source, &bytes, span.start),
        }
    }
}

/// From 1, in characters.
pub(super) fn column(source: &Source, line: &Range<usize>, offset: usize) -> usize {
    let end = offset.clamp(line.start, line.end);
    source
        .text
        .get(line.start..end)
        .map_or(1, |before| before.chars().count() + 1)
}
