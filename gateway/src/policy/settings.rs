//! What an operator may set: one small YAML, `--policies FILE`. Every mistake in it names its line and column.

mod beside;
mod document;
mod reader;
#[cfg(test)]
mod tests;
mod value;

use std::{fmt::Display, path::Path, time::Duration};

pub(super) use beside::ShareSettings;
pub use beside::{PrefixSettings, SplitSettings};
use contracts::caravan::options::v1::{Access, RateClass};
use document::{Document, Policy};
use reader::Reader;

use super::{Network, cors::Cors, limits::Limits, rate::Rate};

/// Bytes of kept answers.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Smallest answer that is compressed, in bytes: below that nothing is won.
const MIN_COMPRESSED_BYTES: usize = 1024;
/// Largest policies file, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Which policies are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Who may call is checked here, before the service does.
    pub access: bool,
    /// Calls are counted.
    pub rate: bool,
    /// Answers are kept.
    pub cache: bool,
    /// Answers are compressed.
    pub compression: bool,
}

impl Switches {
    const ON: Self = Self {
        access: true,
        rate: true,
        cache: true,
        compression: true,
    };
    const OFF: Self = Self {
        access: false,
        rate: false,
        cache: false,
        compression: false,
    };

    fn without(mut self, disabled: &[Policy]) -> Self {
        for policy in disabled {
            match policy {
                Policy::Access => self.access = false,
                Policy::Rate => self.rate = false,
                Policy::Cache => self.cache = false,
                Policy::Compression => self.compression = false,
            }
        }
        self
    }
}

/// All that an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which policies are in force.
    pub switches: Switches,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Which pages may call; none where it is absent.
    pub cors: Option<Cors>,
    /// What each class amounts to.
    pub rates: Rates,
    /// Most bytes of kept answers.
    pub cache_bytes: usize,
    /// Smallest answer that is compressed, in bytes.
    pub min_compressed_bytes: usize,
    /// What a request may have.
    pub limits: Limits,
    /// What holds for single routes.
    pub routes: Vec<RouteSettings>,
    /// What several upstreams share.
    pub splits: Vec<SplitSettings>,
    /// What old systems serve.
    pub prefixes: Vec<PrefixSettings>,
}

/// What each rate class amounts to, for one caller and one rpc.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    read: Rate,
    write: Rate,
    heavy: Rate,
    strict: Rate,
}

impl Rates {
    /// The class's name and rate; `None` where it is not limited. Unspecified counts as a read or a write.
    pub(super) fn of(&self, class: RateClass, reads: bool) -> Option<(&'static str, Rate)> {
        match class {
            RateClass::Unspecified if reads => Some(("read", self.read)),
            RateClass::Unspecified | RateClass::Write => Some(("write", self.write)),
            RateClass::Read => Some(("read", self.read)),
            RateClass::Heavy => Some(("heavy", self.heavy)),
            RateClass::Strict => Some(("strict", self.strict)),
            RateClass::Unlimited => None,
        }
    }
}

/// What holds for one route instead.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// `GET /v1/products/{product_id}` or `package.Service/Method`.
    pub(super) route: String,
    /// `FILE:line:column`
    pub(super) place: String,
    pub(super) disabled: Vec<Policy>,
    pub(super) access: Option<Access>,
    pub(super) rate: Option<RouteRate>,
    pub(super) cache: Option<RouteCache>,
    pub(super) max_body_bytes: Option<usize>,
}

/// The rate of one route.
#[derive(Clone, Copy, Debug)]
pub(super) enum RouteRate {
    Class(RateClass),
    Own(Rate),
}

/// How long answers of one route are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteCache {
    pub(super) ttl: Duration,
    pub(super) stale_if_error: Duration,
    pub(super) per_caller: Option<bool>,
}

impl RouteSettings {
    pub(super) fn switches(&self, all: Switches) -> Switches {
        all.without(&self.disabled)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let per = |calls, seconds, burst| Rate::new(calls, Duration::from_secs(seconds), burst);
        Self {
            switches: Switches::ON,
            trusted_proxies: Vec::new(),
            cors: None,
            rates: Rates {
                read: per(200, 1, 400),
                write: per(50, 1, 100),
                heavy: per(5, 1, 20),
                strict: per(60, 60, 60),
            },
            cache_bytes: CACHE_BYTES,
            min_compressed_bytes: MIN_COMPRESSED_BYTES,
            limits: Limits::default(),
            routes: Vec::new(),
            splits: Vec::new(),
            prefixes: Vec::new(),
        }
    }
}

impl Settings {
    /// No policy at all; only limits are left.
    pub fn off() -> Self {
        Self {
            switches: Switches::OFF,
            ..Self::default()
        }
    }

    /// Reads `--policies`: a file, or `off`.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong: `FILE:line:column: what`.
    pub fn read(policies: Option<&str>) -> Result<Self, SettingsError> {
        let Some(path) = policies else {
            return Ok(Self::default());
        };
        if path == "off" {
            return Ok(Self::off());
        }
        let unreadable = |error: std::io::Error| SettingsError(format!("{path}: {error}"));
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
            return Err(SettingsError(format!(
                "{path}: larger than {MAX_FILE_BYTES} bytes"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(Path::new(path), &text)
    }

    /// Reads the text of a policies file.
    ///
    /// # Errors
    /// Something in it is wrong: `FILE:line:column: what`.
    pub fn parse(file: &Path, text: &str) -> Result<Self, SettingsError> {
        let reader = Reader { file };
        if text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            return Ok(Self::default());
        }
        let document: Document = serde_saphyr::from_str(text).map_err(|error| {
            let at = error.location();
            let what = error.without_snippet().to_string();
            // It says the place in its own words too.
            let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
            SettingsError(format!("{}: {what}", reader.place(at.as_ref())))
        })?;
        reader.settings(document)
    }
}

/// Why the settings cannot be used: `FILE:line:column: what`.
#[derive(Debug)]
pub struct SettingsError(pub(super) String);

impl Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}
