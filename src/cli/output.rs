//! Where answers go: standard output, as text or JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::ColorChoice;
use super::failure::Failure;

/// Standard output, and how to write to it.
#[derive(Debug)]
pub(super) struct Output {
    /// Whether programs read it.
    pub json: bool,
    /// How people read it.
    pub style: Style,
    error_color: bool,
    out: io::Stdout,
}

/// How people read an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// In colour.
    pub color: bool,
    /// On a terminal of so many columns; nothing if it is not one.
    pub width: Option<u16>,
}

#[cfg(test)]
impl Style {
    /// For a file or a pipe.
    pub const PLAIN: Self = Self {
        color: false,
        width: None,
    };
}

impl Output {
    pub fn new(json: bool, color: ColorChoice) -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let decide = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && colors_are_welcome(),
        };
        Self {
            json,
            style: Style {
                color: decide(terminal),
                width: terminal.then(terminal_width).flatten(),
            },
            error_color: decide(io::stderr().is_terminal()),
            out,
        }
    }

    /// Writes text, and ends it with a line's end if it has none.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Writes a value, indented.
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        self.text(&json)
    }

    /// Writes a value in one line.
    pub fn line_of(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value).map_err(io::Error::from)?;
        self.text(&json)
    }

    /// Says why a verb failed: people on standard error, programs where they read the answer too.
    pub fn failure(&mut self, failure: &Failure) {
        if self.json {
            if let Some(json) = failure.json() {
                // There is nobody left to tell that telling failed.
                let _ = self.value(&json);
            }
        } else if let Some(text) = failure.render(self.error_color) {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

/// See <https://no-color.org>.
fn colors_are_welcome() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

fn terminal_width() -> Option<u16> {
    terminal_size::terminal_size().map(|(width, _)| width.0)
}
