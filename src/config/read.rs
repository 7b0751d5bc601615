//! From a file to a [`Config`], or to everything that is wrong with it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::{Config, DEFAULT_PATH};
use crate::policy::{Kind, Trust, check_grammar, open};

/// Longest configuration file that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

const EVERY_KEY: &str = "every key and its default stand in the bridgewall.toml that is installed";

/// Why the configuration is refused: everything that is wrong with it, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    text: String,
    problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    /// `None`: the file as a whole.
    at: Option<Range<usize>>,
    message: String,
    help: String,
}

impl Config {
    /// Reads a file; without one, the one at [`DEFAULT_PATH`], which may be missing.
    ///
    /// # Errors
    /// The file cannot be read or trusted, or says something wrong.
    pub fn load(path: Option<&Path>, trust: Trust) -> Result<Self, ConfigError> {
        let named = path.unwrap_or(Path::new(DEFAULT_PATH));
        let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        if path.is_none() && fs::symlink_metadata(named).is_err_and(is_missing) {
            return Ok(Self::default());
        }
        let refused = |message: String, help: &str| ConfigError {
            path: named.to_owned(),
            text: String::new(),
            problems: vec![Problem {
                at: None,
                message,
                help: help.to_owned(),
            }],
        };
        let file = open(named, trust, Kind::File).map_err(|e| refused(e.message, &e.help))?;
        let mut text = String::new();
        fs::File::from(file)
            .take(FILE_LIMIT + 1)
            .read_to_string(&mut text)
            .map_err(|error| {
                let message = format!("{} cannot be read: {error}", named.display());
                refused(message, "save it as UTF-8 text")
            })?;
        if text.len() as u64 > FILE_LIMIT {
            return Err(refused(
                format!("{} is longer than {FILE_LIMIT} bytes", named.display()),
                EVERY_KEY,
            ));
        }
        Self::parse(named, &text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// It says something wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let refused = |problems| ConfigError {
            path: path.to_owned(),
            text: text.to_owned(),
            problems,
        };
        if let Err((at, refusal)) = check_grammar(text, "configuration") {
            return Err(refused(vec![Problem {
                at: Some(at),
                message: refusal.message,
                help: refusal.help,
            }]));
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(refused(errors.iter().map(Problem::from).collect()));
        }
        match Self::deserialize(Deserializer::from(table.clone())) {
            Ok(config) => match config.limits.check() {
                Ok(()) => Ok(config),
                Err(message) => Err(refused(vec![Problem {
                    at: None,
                    message,
                    help: EVERY_KEY.to_owned(),
                }])),
            },
            Err(first) => Err(refused(all_problems(&table, &first))),
        }
    }
}

/// Serde stops at the first error. No key's validity hangs on another key's, so what is wrong with each
/// of them shows when it stands alone.
fn all_problems(table: &Spanned<DeTable<'_>>, first: &toml::de::Error) -> Vec<Problem> {
    let mut problems: Vec<Problem> = pieces(table.get_ref())
        .into_iter()
        .filter_map(|piece| {
            let piece = Spanned::new(table.span(), piece);
            let error = Config::deserialize(Deserializer::from(piece)).err()?;
            Some(Problem::from(&error))
        })
        .collect();
    // Two entries that are fine alone may not go together.
    if problems.is_empty() {
        problems.push(Problem::from(first));
    }
    let mut known = BTreeSet::new();
    problems.retain(|problem| known.insert((problem.place(), problem.message.clone())));
    problems.sort_by_key(Problem::place);
    problems
}

/// The document, cut into ones with a single key, or a single entry of a list.
fn pieces<'t>(table: &DeTable<'t>) -> Vec<DeTable<'t>> {
    let mut pieces = Vec::new();
    for (key, value) in table {
        let parts = match value.get_ref() {
            DeValue::Table(section) if !section.is_empty() => section
                .iter()
                .map(|(key, value)| {
                    DeValue::Table(DeTable::from_iter([(key.clone(), value.clone())]))
                })
                .collect(),
            DeValue::Array(entries) if !entries.is_empty() => entries
                .iter()
                .map(|entry| DeValue::Array(std::iter::once(entry.clone()).collect()))
                .collect(),
            whole => vec![whole.clone()],
        };
        pieces.extend(
            parts
                .into_iter()
                .map(|part| DeTable::from_iter([(key.clone(), Spanned::new(value.span(), part))])),
        );
    }
    pieces
}

impl From<&toml::de::Error> for Problem {
    fn from(error: &toml::de::Error) -> Self {
        Self {
            at: error.span(),
            message: error.message().to_owned(),
            help: EVERY_KEY.to_owned(),
        }
    }
}

impl Problem {
    fn place(&self) -> (usize, usize) {
        self.at.as_ref().map_or((0, 0), |at| (at.start, at.end))
    }
}

impl ConfigError {
    /// For people: each line that is wrong, a marker, and what to do.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let path = self.path.display().to_string();
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let groups: Vec<_> = self
            .problems
            .iter()
            .map(|problem| {
                let title = Level::ERROR.primary_title(problem.message.as_str());
                let group = match &problem.at {
                    Some(span) => title.element(
                        Snippet::source(self.text.as_str())
                            .path(path.as_str())
                            .annotation(AnnotationKind::Primary.span(span.clone())),
                    ),
                    None => title.element(Origin::path(path.as_str())),
                };
                group.element(Level::HELP.message(problem.help.as_str()))
            })
            .collect();
        renderer.render(&groups)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.path.display())?;
            if let Some(at) = &problem.at {
                let before = self.text.get(..at.start).unwrap_or_default();
                write!(f, ":{}", before.matches('\n').count() + 1)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
