//! What an operator may set: one small YAML, `--policies FILE`. Every mistake in it names its line and column.

use std::{fmt::Display, path::Path, str::FromStr, time::Duration};

use contracts::caravan::options::v1::{Access, RateClass};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    disable: Vec<Policy>,
    trusted_proxies: Vec<Text>,
    cors: Option<Spanned<CorsDocument>>,
    rates: RatesDocument,
    cache: CacheDocument,
    compression: CompressionDocument,
    limits: LimitsDocument,
    routes: Vec<RouteDocument>,
}

type Text = Spanned<String>;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Policy {
    Access,
    Rate,
    Cache,
    Compression,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CorsDocument {
    origins: Vec<Text>,
    #[serde(default)]
    headers: Vec<Text>,
    #[serde(default)]
    expose: Vec<Text>,
    #[serde(default)]
    credentials: bool,
    #[serde(default)]
    max_age: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RatesDocument {
    read: Option<Text>,
    write: Option<Text>,
    heavy: Option<Text>,
    strict: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CacheDocument {
    max_bytes: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CompressionDocument {
    min_bytes: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsDocument {
    body: Option<Text>,
    body_timeout: Option<Text>,
    headers: Option<Text>,
    header_count: Option<Text>,
    header_timeout: Option<Text>,
    heartbeat: Option<Text>,
    message: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteDocument {
    route: Text,
    #[serde(default)]
    disable: Vec<Policy>,
    access: Option<Vec<Text>>,
    rate: Option<Text>,
    cache: Option<RouteCacheDocument>,
    body: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteCacheDocument {
    ttl: Text,
    #[serde(default)]
    stale_if_error: Option<Text>,
    #[serde(default)]
    per_caller: Option<bool>,
}

/// Turns a document into settings, and says where it is wrong.
struct Reader<'f> {
    file: &'f Path,
}

impl Reader<'_> {
    fn place(&self, at: Option<&Location>) -> String {
        let file = self.file.display();
        match at {
            Some(at) => format!("{file}:{}:{}", at.line(), at.column()),
            None => file.to_string(),
        }
    }

    fn fault(&self, at: &Location, what: impl Display) -> SettingsError {
        SettingsError(format!("{}: {what}", self.place(Some(at))))
    }

    fn value<T>(
        &self,
        text: &Text,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        read(&text.value).map_err(|what| self.fault(&text.referenced, what))
    }

    /// Sets `place` where the document says something.
    fn set<T>(
        &self,
        place: &mut T,
        text: Option<&Text>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<(), SettingsError> {
        if let Some(text) = text {
            *place = self.value(text, read)?;
        }
        Ok(())
    }

    fn settings(&self, document: Document) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        settings.switches = settings.switches.without(&document.disable);
        settings.trusted_proxies = document
            .trusted_proxies
            .iter()
            .map(|text| self.value(text, str::parse))
            .collect::<Result<_, _>>()?;
        settings.cors = document
            .cors
            .as_ref()
            .map(|cors| self.cors(cors))
            .transpose()?;
        let (rates, from) = (&mut settings.rates, &document.rates);
        self.set(&mut rates.read, from.read.as_ref(), Rate::from_str)?;
        self.set(&mut rates.write, from.write.as_ref(), Rate::from_str)?;
        self.set(&mut rates.heavy, from.heavy.as_ref(), Rate::from_str)?;
        self.set(&mut rates.strict, from.strict.as_ref(), Rate::from_str)?;
        let cache_bytes = document.cache.max_bytes.as_ref();
        self.set(&mut settings.cache_bytes, cache_bytes, bytes)?;
        let min_bytes = document.compression.min_bytes.as_ref();
        self.set(&mut settings.min_compressed_bytes, min_bytes, bytes)?;
        self.limits(&mut settings.limits, &document.limits)?;
        settings.routes = document
            .routes
            .iter()
            .map(|route| self.route(route))
            .collect::<Result<_, _>>()?;
        Ok(settings)
    }

    fn limits(&self, limits: &mut Limits, from: &LimitsDocument) -> Result<(), SettingsError> {
        self.set(&mut limits.body_bytes, from.body.as_ref(), bytes)?;
        self.set(
            &mut limits.body_timeout,
            from.body_timeout.as_ref(),
            duration,
        )?;
        self.set(
            &mut limits.header_bytes,
            from.headers.as_ref(),
            header_bytes,
        )?;
        self.set(&mut limits.headers, from.header_count.as_ref(), count)?;
        self.set(
            &mut limits.header_timeout,
            from.header_timeout.as_ref(),
            duration,
        )?;
        self.set(&mut limits.heartbeat, from.heartbeat.as_ref(), period)?;
        self.set(&mut limits.message_bytes, from.message.as_ref(), bytes)
    }

    fn cors(&self, cors: &Spanned<CorsDocument>) -> Result<Cors, SettingsError> {
        let from = &cors.value;
        let names = |texts: &[Text]| -> Result<Vec<String>, SettingsError> {
            let name = |text: &Text| {
                self.value(text, |text| {
                    let name = http::HeaderName::from_str(text);
                    let name = name.map_err(|_| format!("`{text}` is no header's name"))?;
                    Ok(name.as_str().to_owned())
                })
            };
            texts.iter().map(name).collect()
        };
        let origins = from
            .origins
            .iter()
            .map(|text| self.value(text, str::parse))
            .collect::<Result<_, _>>()?;
        let max_age = from.max_age.as_ref();
        let max_age = max_age.map(|text| self.value(text, duration)).transpose()?;
        Cors::new(
            origins,
            &names(&from.headers)?,
            &names(&from.expose)?,
            from.credentials,
            max_age,
        )
        .map_err(|what| self.fault(&cors.referenced, what))
    }

    fn route(&self, from: &RouteDocument) -> Result<RouteSettings, SettingsError> {
        let cache = from.cache.as_ref().map(|cache| {
            let stale = cache.stale_if_error.as_ref();
            Ok(RouteCache {
                ttl: self.value(&cache.ttl, duration)?,
                stale_if_error: stale
                    .map(|text| self.value(text, duration))
                    .transpose()?
                    .unwrap_or_default(),
                per_caller: cache.per_caller,
            })
        });
        Ok(RouteSettings {
            route: from.route.value.trim().trim_start_matches('/').to_owned(),
            place: self.place(Some(&from.route.referenced)),
            disabled: from.disable.clone(),
            access: from.access.as_deref().map(access),
            rate: from
                .rate
                .as_ref()
                .map(|text| self.value(text, route_rate))
                .transpose()?,
            cache: cache.transpose()?,
            max_body_bytes: from
                .body
                .as_ref()
                .map(|text| self.value(text, bytes))
                .transpose()?,
        })
    }
}

/// `public`, `signed_in`, `services`; every other word is a role. No word admits nobody.
fn access(words: &[Text]) -> Access {
    let mut access = Access::default();
    for word in words {
        match word.value.as_str() {
            "public" => access.public = true,
            "signed_in" => access.signed_in = true,
            "services" => access.services = true,
            role => access.roles.push(role.to_owned()),
        }
    }
    access
}

fn route_rate(text: &str) -> Result<RouteRate, String> {
    Ok(RouteRate::Class(match text {
        "read" => RateClass::Read,
        "write" => RateClass::Write,
        "heavy" => RateClass::Heavy,
        "strict" => RateClass::Strict,
        "unlimited" => RateClass::Unlimited,
        _ => {
            let classes = "read, write, heavy, strict, unlimited";
            let rate = text
                .parse()
                .map_err(|what| format!("{what}, nor one of {classes}"))?;
            return Ok(RouteRate::Own(rate));
        }
    }))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is no time like 500ms, 30s or 5m"))
}

/// A time that timers can repeat.
fn period(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() {
        return Err(format!("`{text}` is no time between two things"));
    }
    Ok(time)
}

/// `4096`, `64KiB`, `4MiB`.
fn bytes(text: &str) -> Result<usize, String> {
    let fault = || format!("`{text}` is no size like 4096, 64KiB or 4MiB");
    let (number, unit) = match text.trim() {
        text if text.ends_with("KiB") => (&text[..text.len() - 3], 1024),
        text if text.ends_with("MiB") => (&text[..text.len() - 3], 1024 * 1024),
        text => (text, 1),
    };
    let number: usize = number.trim().parse().map_err(|_| fault())?;
    number.checked_mul(unit).ok_or_else(fault)
}

/// hyper needs room for the first line and one header.
fn header_bytes(text: &str) -> Result<usize, String> {
    const LEAST_BYTES: usize = 8 * 1024;
    match bytes(text)? {
        bytes if bytes < LEAST_BYTES || u32::try_from(bytes).is_err() => {
            Err(format!("`{text}`: at least {LEAST_BYTES} bytes are needed"))
        }
        bytes => Ok(bytes),
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("`{text}` is no number of headers")),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
