//! The texts that a policy was made of, kept so that the same policy can be made again without the
//! files: at a boot with broken ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::assemble::parse;
use super::diagnostic::Report;
use super::model::Policy;
use super::problem::FileError;
use super::source::Source;

/// The texts of all files of one load, in the order in which they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Snapshot {
    policies: Vec<Text>,
    networks: Vec<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Text {
    path: PathBuf,
    /// What was read; or why nothing was, which makes a snapshot differ, but not one that is kept.
    text: Result<SharedText, String>,
}

/// A file's text, which whoever parses it has in hand as well.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SharedText(Arc<str>);

impl Serialize for SharedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SharedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl Text {
    fn new(path: &Path, read: &Result<Source, FileError>) -> Self {
        Self {
            path: path.to_owned(),
            text: match read {
                Ok(source) => Ok(SharedText(Arc::clone(source.shared()))),
                Err(error) => Err(error.message.clone()),
            },
        }
    }
}

impl Snapshot {
    pub(super) fn add_policy(&mut self, path: &Path, read: &Result<Source, FileError>) {
        self.policies.push(Text::new(path, read));
    }

    pub(super) fn add_network(&mut self, path: &Path, read: &Result<Source, FileError>) {
        self.networks.push(Text::new(path, read));
    }

    /// Makes the policy again.
    ///
    /// # Errors
    /// What was wrong with the texts then; or a newer version of this program refuses them.
    pub fn parse(&self) -> Result<Policy, Report> {
        let sources = self.policies.iter().filter_map(|text| {
            let SharedText(known) = text.text.as_ref().ok()?;
            Some(Source::new(&text.path, Arc::clone(known)))
        });
        parse(sources.collect(), &mut |path| {
            self.networks
                .iter()
                .find(|text| text.path == path)
                .and_then(|text| text.text.as_ref().ok())
                .map(|SharedText(text)| Source::new(path, Arc::clone(text)))
                .ok_or_else(|| FileError {
                    path: path.to_owned(),
                    message: format!("{} was not kept", path.display()),
                    help: "mend the policy files and reload".to_owned(),
                })
        })
    }
}
