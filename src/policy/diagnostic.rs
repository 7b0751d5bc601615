//! What is wrong with a policy, all of it at once: for people with the line and a marker, for programs
//! as plain values.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};
use serde::Serialize;

/// Why a policy is refused. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order of files and lines.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// How many more there are.
    pub(super) omitted: usize,
    #[serde(skip)]
    pub(super) files: Vec<PathBuf>,
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What is wrong with just the marked part; may be empty.
    pub label: String,
    /// What to write instead.
    pub help: String,
    /// Other places that belong to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// A place that an error has to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// What it has to do with the error.
    pub label: String,
}

/// A file, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// As it was named when it was read.
    pub file: String,
    /// Where in it; `None` for the file as a whole.
    #[serde(flatten)]
    pub position: Option<Position>,
}

/// A part of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In characters.
    pub width: usize,
    /// The line itself; of a very long line only the part around the marker.
    pub source: String,
    /// The marked bytes in `source`.
    #[serde(skip)]
    pub(super) marked: (usize, usize),
    /// Whether `source` is only part of the line.
    #[serde(skip)]
    pub(super) cut: bool,
}

impl Report {
    /// The errors, in the order of files and lines.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// How many errors there are beyond those.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }

    /// All files that were read, or that should have been: what a change must be watched in.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// For people: each error with its line, a marker and what to write instead; then their number.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(&renderer.render(&[diagnostic.group()]));
            text.push_str("\n\n");
        }
        text.push_str(&self.count());
        text.push('\n');
        text
    }

    /// One line: the first error, and how many more there are.
    #[must_use]
    pub fn summary(&self) -> String {
        let more = self.diagnostics.len() + self.omitted;
        match (self.diagnostics.first(), more.saturating_sub(1)) {
            (Some(first), 0) => first.to_string(),
            (Some(first), more) => format!("{first} (and {more} more)"),
            (None, _) => self.count(),
        }
    }

    fn count(&self) -> String {
        match (self.diagnostics.len(), self.omitted) {
            (1, 0) => "1 error: the policy is refused".to_owned(),
            (count, 0) => format!("{count} errors: the policy is refused"),
            (count, omitted) => format!(
                "{} errors, the first {count} are shown: the policy is refused",
                count + omitted
            ),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Report {}

impl Diagnostic {
    fn group(&self) -> Group<'_> {
        let title = Level::ERROR.primary_title(harmless(&self.message));
        let mut group = Group::with_title(title);
        for (place, kind, label) in
            std::iter::once((&self.place, AnnotationKind::Primary, self.label.as_str())).chain(
                self.related.iter().map(|related| {
                    (
                        &related.place,
                        AnnotationKind::Context,
                        related.label.as_str(),
                    )
                }),
            )
        {
            let file = harmless(&place.file);
            group = match &place.position {
                // The renderer would count columns from the cut.
                Some(position) if position.cut => group
                    .element(
                        Origin::path(file)
                            .line(position.line)
                            .char_column(position.column),
                    )
                    .element(position.snippet(kind, label)),
                Some(position) => group.element(position.snippet(kind, label).path(file)),
                None => group.element(Origin::path(file)),
            };
        }
        group.element(Level::HELP.message(normalize_untrusted_str(&harmless(&self.help))))
    }
}

impl Position {
    fn snippet<'a>(
        &'a self,
        kind: AnnotationKind,
        label: &'a str,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let annotation = kind.span(self.marked.0..self.marked.1);
        let annotation = if label.is_empty() {
            annotation
        } else {
            annotation.label(harmless(label))
        };
        Snippet::source(harmless(&self.source))
            .line_start(self.line)
            .annotation(annotation)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}: {}; {}", self.place, self.message, self.help);
        f.write_str(&line.replace(char::is_control, "·"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(position) = &self.position {
            write!(f, ":{}:{}", position.line, position.column)?;
        }
        Ok(())
    }
}

/// Takes out the control characters that the renderer lets through (U+0080 to U+009F), and which
/// terminals obey. The stand-in has as many bytes, so that places stay right.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_c1 = |c: char| ('\u{80}'..='\u{9f}').contains(&c);
    if text.contains(is_c1) {
        Cow::Owned(text.replace(is_c1, "·"))
    } else {
        Cow::Borrowed(text)
    }
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(path: &Path) -> Self {
        Self {
            file: path.display().to_string(),
            position: None,
        }
    }
}
